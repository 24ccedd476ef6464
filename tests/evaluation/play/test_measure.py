import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.play.figures import TITLES, PlayFigures
from evaluation.play.measure import MeasuredPlay, measure_play
from evaluation.play.report import write_play_report
from evaluation.play.table import table
from tests.evaluation.play.squares import Faults, configuration, simulator_with, write_videos
from utils.command import UserError

GAMES, FRAMES = 4, 60


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("squares")
    write_videos(folder / "data", train=12, test=4)
    return folder


def measured(folder: Path, faults: Faults) -> MeasuredPlay:
    return measure_play(configuration(folder), simulator_with(faults), GAMES, FRAMES)


@pytest.fixture(scope="module")
def perfect(folder: Path) -> MeasuredPlay:
    return measured(folder, Faults())


def value(play: PlayFigures, name: str) -> float:
    found = play.figures[name].generated.value
    assert found is not None
    return found


def true_value(play: PlayFigures, name: str) -> float:
    true = play.figures[name].true
    assert true is not None
    assert true.value is not None
    return true.value


def test_a_perfect_model(perfect: MeasuredPlay) -> None:
    play = perfect.figures
    assert true_value(play, "following") > 0.95
    assert value(play, "following") > 0.95
    assert value(play, "following_random_presses") > 0.95
    assert value(play, "following_share") == pytest.approx(value(play, "following") / true_value(play, "following"))
    assert value(play, "stillness") == true_value(play, "stillness") == 0
    assert value(play, "sharpness") == pytest.approx(1, abs=0.05)
    assert true_value(play, "sharpness") == pytest.approx(1)
    assert value(play, "psnr") == pytest.approx(80)
    assert value(play, "ssim") == pytest.approx(1, abs=1e-3)
    assert value(play, "delta_psnr") > 20
    assert value(play, "distinctness") > 1
    assert play.remarks == []
    assert (play.games, play.frames, play.true_sequences, play.true_frames) == (GAMES, FRAMES, 4, 20)
    assert play.taught_steps == 12 * 21 // 17 * 16
    assert play.chance == pytest.approx(1 / 3)
    assert play.still_share == pytest.approx(1 - 10 / 32)  # a row above and one below is smoothed
    left, stay, right = play.actions
    assert left.followed.value is not None
    assert stay.true_movement.x.value == 0
    assert right.inferred == pytest.approx(1 - left.inferred - stay.inferred)


def test_timelines(perfect: MeasuredPlay) -> None:
    figures = perfect.figures.figures
    for name, last, points in (
        ("following", 51, 6),
        ("psnr", 20, 20),
        ("delta_psnr", 8, 8),
        ("frechet_distance", 1, 1),
    ):
        timeline = figures[name].timeline
        assert timeline is not None
        assert (timeline.first_frame[-1], len(timeline.estimates)) == (last, points)
    assert perfect.shown.shape == (3, 4, 9, 32, 32, 3)
    assert figures["following"].generated.samples == GAMES * 20
    assert figures["following_random_presses"].generated.samples == GAMES * FRAMES
    low, high = figures["following"].generated.interval or (0, 0)
    assert 0 < low <= value(perfect.figures, "following") <= high <= 1


def test_a_model_that_ignores_its_actions(folder: Path) -> None:
    play = measured(folder, Faults(is_deaf=True)).figures
    assert true_value(play, "following") > 0.95
    assert value(play, "following") == pytest.approx(1 / 3, abs=0.1)
    assert value(play, "following_random_presses") == pytest.approx(1 / 3, abs=0.1)
    assert value(play, "distinctness") == 0
    assert value(play, "delta_psnr") == 0
    assert play.figures["explained_movement"].generated.value is None  # nothing moves
    assert [action.movement.x.value for action in play.actions] == [None, None, None]
    assert play.actions[0].true_movement.x.value is not None


def test_a_model_that_blurs_and_fades(folder: Path, perfect: MeasuredPlay) -> None:
    blurred = measured(folder, Faults(is_blurred=True)).figures
    assert value(blurred, "sharpness") < 0.2
    fading = measured(folder, Faults(darkening=1)).figures
    timeline = fading.figures["stillness"].timeline
    assert timeline is not None
    assert timeline.estimates[0].value == pytest.approx(5.5, abs=0.1)  # 1 to 10
    assert timeline.estimates[-1].value == pytest.approx(40, abs=0.1)  # black by then
    for play in (blurred, fading):
        assert value(play, "frechet_distance") > 3 * value(perfect.figures, "frechet_distance")
        assert value(play, "psnr") < 35


def test_measuring_again_gives_the_same(folder: Path, perfect: MeasuredPlay) -> None:
    again = measured(folder, Faults())
    assert again.figures == perfect.figures
    np.testing.assert_array_equal(again.shown, perfect.shown)


def test_it_is_told_as_text_json_and_report(perfect: MeasuredPlay, tmp_path: Path) -> None:
    text = table(perfect.figures)
    for title in TITLES.values():
        assert f"\n{title.text} " in text
    assert text.startswith("4 games of 60 frames with random presses and 4 with true play's actions, 4 true sequences")
    rows = [line.split() for line in text.splitlines()]
    assert [row[0] for row in rows[-3:]] == ["1", "10", "50"]
    assert rows[-1][5:7] == ["-", "-"]  # the truth has ended
    json.loads(json.dumps(asdict(perfect.figures)), parse_constant=pytest.fail)
    write_play_report(tmp_path / "a" / "play.html", perfect, {"run_name": "square", "seed": 0})
    html = (tmp_path / "a" / "play.html").read_text()
    assert "<h1>Playability of square</h1>" in html
    assert "figures by frame number, generated and true" in html
    assert "Action 3" in html


def test_little_true_play_is_enough(tmp_path: Path) -> None:
    write_videos(tmp_path / "data", val=1)
    animation = tmp_path / "play.gif"
    play = measure_play(configuration(tmp_path), simulator_with(Faults()), 1, 3, animation=animation).figures
    assert "without training videos, the inverse model learned from the first half" in play.remarks[0]
    assert play.figures["following"].generated.samples == 3
    assert play.figures["following"].generated.interval is None
    with Image.open(animation) as pages:
        assert pages.n_frames == 3  # type: ignore[attr-defined]


def test_no_true_play_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="data"):
        measure_play(configuration(tmp_path), simulator_with(Faults()), 1, 3)
