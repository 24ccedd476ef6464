import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dataset.annotations import Annotations
from dataset.video import write_video
from evaluation import playability as playability_command
from evaluation.breakout.held_out import HeldOut, open_held_out
from evaluation.breakout.measures import (
    LONGEST_ABSENCE,
    WINDOW,
    Curves,
    Measures,
    PaddleLaws,
    Readings,
    SampleMean,
    follow_ball,
    measure,
)
from evaluation.breakout.playability import (
    Playability,
    learned_meanings,
    measure_playability,
    table,
    true_meanings,
)
from evaluation.breakout.tracking import Playfield
from evaluation.play.games import animated, random_script
from model.caddy import Caddy
from tests.command import Command
from tests.evaluation.breakout.test_tracking import BRICKS, PADDLE_ROWS, WALL, draw, drawn
from tests.processes import run_python
from tests.synthetic import square_configuration
from training.validation import Evaluator
from utils.checkpoint import LATEST, save_checkpoint
from utils.command import UserError
from utils.configuration import Configuration

CPU = torch.device("cpu")
LEFTMOST, RIGHTMOST = 8.0, 72.0
MOVE, SLIDE = 8.0, 2.0
LAWS = PaddleLaws(LEFTMOST, RIGHTMOST, shortest_move=MOVE, longest_slide=SLIDE, longest_rest=0.0)
REACH = 4.0
OVERRIDES = (
    "data.crop=[0, 0, 80, 96]",
    "model.representation_network.target_input_size=[80, 96]",
    "model.representation_network.state_resolution=[12, 10]",
    "evaluation.batching.batch_size=3",
    "evaluation.batching.observations_count=21",
)


def path(pressed: np.ndarray, start: float = 40.0) -> np.ndarray:
    """Where the paddle is when it moves as pressed (-1, 0 or 1), and slides on for the first step of staying."""
    positions, last = [start], 0
    for press in pressed.tolist():
        positions.append(float(np.clip(positions[-1] + (MOVE * press or SLIDE * last), LEFTMOST, RIGHTMOST)))
        last = press
    return np.array(positions)


def script(num_games: int = 3, num_frames: int = 40, seed: int = 0) -> np.ndarray:
    return random_script(np.random.default_rng(seed), [-1, 0, 1], num_games, num_frames)


@pytest.fixture(scope="module")
def pressed() -> np.ndarray:
    return script()


@pytest.fixture(scope="module")
def frames(pressed: np.ndarray) -> np.ndarray:
    """Perfect play, without a ball."""
    return np.stack([drawn(path(presses)) for presses in pressed])


@pytest.fixture(scope="module")
def playfield(frames: np.ndarray) -> Playfield:
    return Playfield.of(frames.reshape(-1, *frames.shape[2:]))


def measured(playfield: Playfield, frames: np.ndarray, pressed: np.ndarray) -> Measures:
    return measure(playfield, LAWS, REACH, Readings.of(playfield, LAWS, frames, pressed))


def test_perfect_play(playfield: Playfield, frames: np.ndarray, pressed: np.ndarray) -> None:
    found = measured(playfield, frames, pressed)
    num_steps = pressed.size
    assert (found.pressed_way.value, found.pressed_way_in_sight.value) == (1, 1)
    assert found.stay == SampleMean(1.0, int((pressed == 0).sum()))
    assert found.pressed_way.samples == found.stay.samples + found.left.samples + found.right.samples < num_steps
    assert found.leaves_wall.value == 1
    assert found.leaves_wall.samples > 0
    assert found.drift.value == 0
    assert found.paddle_found == SampleMean(1.0, num_steps)
    assert found.walls_difference == SampleMean(0.0, num_steps)
    assert found.bricks_intact == SampleMean(1.0, num_steps)
    assert found.bricks_gone == SampleMean(0.0, len(frames))
    assert found.one_ball == SampleMean(0.0, num_steps)
    assert found.ball_frames == found.plausible_bounces == SampleMean(None, 0)


def test_a_paddle_that_ignores_its_player(playfield: Playfield, pressed: np.ndarray) -> None:
    still = np.broadcast_to(draw(40.0), (3, 41, *draw(None).shape))
    found = measured(playfield, still, pressed)
    assert (found.stay.value, found.left.value, found.right.value) == (1, 0, 0)
    assert found.pressed_way.value == (pressed == 0).mean()


def test_a_paddle_that_goes_the_other_way(playfield: Playfield, pressed: np.ndarray) -> None:
    mirrored = np.stack([drawn(path(-presses)) for presses in pressed])
    found = measured(playfield, mirrored, pressed)
    assert (found.stay.value, found.left.value, found.right.value) == (1, 0, 0)


def test_a_paddle_that_vanishes_obeys_no_longer(playfield: Playfield, frames: np.ndarray, pressed: np.ndarray) -> None:
    vanishing = frames.copy()
    vanishing[:, 11:, PADDLE_ROWS[0] : PADDLE_ROWS[-1] + 1, WALL:-WALL] = 0
    found = measured(playfield, vanishing, pressed)
    assert found.paddle_found == SampleMean(10 / 40, pressed.size)
    assert found.pressed_way_in_sight.value == 1
    assert 3 * 29 <= found.pressed_way.samples - found.pressed_way_in_sight.samples <= 3 * 30
    assert found.pressed_way.value == found.pressed_way_in_sight.samples / found.pressed_way.samples


def test_the_rule_of_obedience() -> None:
    pressed = np.array([[0, 0, -1, 0, 0, 1, 1, -1, -1, 0]])
    positions = np.array([[40.0, 44.9, 40.8, 35.7, 30.8, 27.0, 32.1, 36.0, 15.5, 9.0, np.nan]])
    # The limits are 5 after a press and at the start, 4 after a stay. The last press is 0.5 too near the wall.
    obeyed = [[1, 0, 1, 1, 1, 1, 0, 1, np.nan, 0]]
    np.testing.assert_array_equal(LAWS.obeyed(positions, pressed), obeyed)


def test_presses_at_a_wall_are_not_judged_by_one_step() -> None:
    pressed = np.array([[1, 1, 0, -1, -1, -1]])
    positions = np.array([[LEFTMOST + 1, LEFTMOST + 1, LEFTMOST + 9, RIGHTMOST, RIGHTMOST - 1, RIGHTMOST - 6, 50.0]])
    np.testing.assert_array_equal(LAWS.obeyed(positions, pressed), [[np.nan, np.nan, 0, np.nan, np.nan, 1]])
    assert LAWS.leaves_wall(positions, pressed).tolist() == [1, 1, 1]


def test_a_paddle_that_sticks_to_a_wall() -> None:
    pressed = np.array([[-1, -1, 1, 1, 1, 0], [1, 1, -1, -1, 1, 1]])
    positions = np.array([[RIGHTMOST] * 7, [LEFTMOST, LEFTMOST, LEFTMOST, *[40.0] * 4]])
    assert LAWS.leaves_wall(positions, pressed).tolist() == [0, 0]


def test_drift_is_of_stays_after_stays(playfield: Playfield) -> None:
    pressed = np.array([[0, 0, 0, -1, 0, 0]])
    positions = [40.0, 50.0, 51.0, 53.0, 45.0, 43.0, 43.0]
    drift = measured(playfield, drawn(positions)[np.newaxis], pressed).drift
    assert drift == SampleMean(1.0, 3)


def test_laws_of_true_play() -> None:
    pressed = script(20, 60)
    positions = np.stack([path(presses) for presses in pressed])
    assert PaddleLaws.of(positions, pressed) == LAWS


def test_drifting_walls(playfield: Playfield, frames: np.ndarray, pressed: np.ndarray) -> None:
    drifting = frames.copy()
    drifting[:, 1:][:, :, playfield.walls] += 3
    drifting[:, 1:21][:, :, playfield.walls] -= 2
    assert measured(playfield, drifting, pressed).walls_difference.value == pytest.approx(2)


def test_bricks_may_only_disappear(playfield: Playfield, frames: np.ndarray, pressed: np.ndarray) -> None:
    rows, columns = BRICKS, slice(WALL, WALL + 18)
    quarter = 18 / (80 - 2 * WALL)
    broken = frames.copy()
    broken[:, 10:, rows, columns] = 0
    found = measured(playfield, broken, pressed)
    assert found.bricks_intact.value == 1
    assert found.bricks_gone.value == quarter

    broken[:, 20:30] = frames[:, 20:30]  # they come back, and go again
    found = measured(playfield, broken, pressed)
    assert found.bricks_intact.value == pytest.approx(1 - quarter * 10 / 40)
    assert found.bricks_gone.value == quarter

    broken = frames.copy()
    broken[:, 1:, rows, columns] = 255 - broken[:, 1:, rows, columns]
    found = measured(playfield, broken, pressed)
    assert found.bricks_intact.value == pytest.approx(1 - quarter)
    assert found.bricks_gone.value == 0


def with_balls(heights: list[int | None], x: int = 40, paddle: float = 40.0) -> np.ndarray:
    """Frames of a resting paddle and a ball at some heights."""
    return np.stack([draw(paddle, None if y is None else (x, y)) for y in heights])


def test_the_survival_of_the_ball(playfield: Playfield) -> None:
    def last_seen(heights: list[int | None]) -> float:
        balls = playfield.find_balls(with_balls(heights))
        return follow_ball(playfield, REACH, balls, np.full(len(heights), 40.0)).last_seen

    assert last_seen([50] * 9) == 8
    assert last_seen([50, 53, 56, *[None] * LONGEST_ABSENCE, 50, None]) == 3 + LONGEST_ABSENCE
    assert last_seen([50, 53, 56, *[None] * (LONGEST_ABSENCE + 1), 50]) == 2
    assert last_seen([50, None]) == 0
    assert np.isnan(last_seen([None, 50, 53]))


def test_one_ball(playfield: Playfield) -> None:
    play = with_balls([50, 53, None, 59, 62])
    play[4, 70, 20] = (200, 72, 72)
    pressed = np.zeros((1, 4), np.int64)
    assert measured(playfield, play[np.newaxis], pressed).one_ball == SampleMean(0.5, 4)


def test_curves_say_when_something_breaks(playfield: Playfield) -> None:
    num_frames = 2 * WINDOW + 10
    pressed = np.zeros((2, num_frames), np.int64)
    whole = np.stack([draw(40.0, ball=(20, 60))] * (num_frames + 1))
    broken = whole.copy()
    broken[1 + WINDOW :, PADDLE_ROWS[0] : PADDLE_ROWS[-1] + 1, WALL:-WALL] = 0
    broken[1 + WINDOW : 1 + WINDOW + 10, 70, 20] = (200, 72, 72)  # a second ball
    broken[1 + 2 * WINDOW :, BRICKS] = 100
    broken[1 + 2 * WINDOW :, playfield.walls] += 4
    curves = Curves.of(Readings.of(playfield, LAWS, np.stack([whole, broken]), pressed))
    assert curves.first_frame == [1, 1 + WINDOW, 1 + 2 * WINDOW]
    assert curves.pressed_way == curves.paddle_found == [1, 0.5, 0.5]
    assert curves.one_ball == [1, pytest.approx(1 - 10 / (2 * WINDOW)), 1]
    assert curves.bricks_intact == [1, 1, 0.5]
    assert curves.walls_difference[:2] == [0, 0]
    assert curves.walls_difference[2] is not None
    assert curves.walls_difference[2] > 1


@pytest.mark.parametrize(
    ("heights", "paddle", "plausible"),
    [
        ([78, 81, 82, 79], 40.0, [True]),
        ([78, 81, None, 81, 78], 40.0, [True]),
        ([78, 81, 82, 79], 60.0, [False]),
        ([58, 61, 64, 61], 40.0, [False]),
        ([40, 36, 33, 36], 40.0, [True]),
        ([14, 10, 10, 14], 40.0, [True]),
        ([50, 46, 46, 50, 54, 50], 40.0, [False, False]),
        ([50, 53, 56], 40.0, []),
    ],
)
def test_bounces(playfield: Playfield, heights: list[int | None], paddle: float, plausible: list[bool]) -> None:
    balls = playfield.find_balls(with_balls(heights, paddle=paddle))
    ball = follow_ball(playfield, REACH, balls, np.full(len(heights), paddle))
    assert ball.bounces.tolist() == plausible


def test_scripts_hold_every_action_for_one_to_four_steps() -> None:
    drawn_script = random_script(np.random.default_rng(1), [0, 2], 50, 100)
    assert drawn_script.shape == (50, 100)
    assert set(np.unique(drawn_script)) == {0, 2}
    assert not np.array_equal(drawn_script[0], drawn_script[1])
    np.testing.assert_array_equal(random_script(np.random.default_rng(1), [0, 2], 50, 100), drawn_script)
    changes = (np.diff(drawn_script) != 0).mean()
    assert changes == pytest.approx(0.5 / 2.5, abs=0.03)


def test_meanings() -> None:
    actions = np.array([[5, 7, 9, 5, 7, 9]])
    meanings = true_meanings(np.array([[0.5, 8.0, -9.0, -0.5, np.nan, -11.0]]), actions)
    assert meanings == {5: 0, 7: 1, 9: -1}
    unseen = np.empty((1, 7, 1, 1, 3), np.uint8)
    held_out = HeldOut(unseen, actions, inferred=np.array([[3, 0, 1, 3, 2, 1]]), one_step=unseen[:, 1:])
    assert learned_meanings(held_out, meanings, 4) in ({3: 0, 0: 1, 1: -1}, {3: 0, 2: 1, 1: -1})
    with pytest.raises(UserError, match="do not move the paddle both left and right"):
        true_meanings(np.array([[0.5, 8.0, 9.0, -0.5, 8.0, 11.0]]), actions)


def write_play(folder: Path, num_frames: int = 20, with_ball: bool = False) -> None:
    """Write three videos of drawn play into each of the splits `val` and `test`."""
    for split in ("val", "test"):
        for video in range(3):
            presses = script(1, num_frames, seed=video)[0]
            steps = [*range(15), *range(15, 0, -1)]
            balls = [(10 + 4 * steps[time % 30], 40 + steps[time % 30]) for time in range(num_frames + 1)]
            frames = [draw(x, ball if with_ball else None) for x, ball in zip(path(presses), balls, strict=True)]
            none: list[float] = [0.0] * len(frames)
            actions = [*(presses + 1).tolist(), 0]
            annotations = Annotations(actions, none, [{} for _ in frames], [False] * len(frames))
            write_video(folder / split / f"{video}", frames, annotations)


@pytest.fixture
def breakout(tmp_path: Path) -> Configuration:
    """A data set of drawn play with a checkpoint of a model that learned nothing."""
    write_play(tmp_path / "data")
    return with_checkpoint(square_configuration(tmp_path, *OVERRIDES))


def share_that_a_wall_does_not_stop() -> float:
    """Of the steps of that data set: those that can be read off the movement."""
    presses = np.concatenate([script(1, 20, seed=video) for video in range(3)])
    movements = np.diff([path(row) for row in presses])
    return float((np.sign(np.where(np.abs(movements) > SLIDE, movements, 0)) == presses).mean())


def with_checkpoint(config: Configuration) -> Configuration:
    torch.manual_seed(0)
    save_checkpoint(config.logging.save_directory / LATEST, {"model": Caddy(config).state_dict()})
    return config


def test_a_checkpoint_is_measured(breakout: Configuration) -> None:
    playability = measure_playability(breakout, CPU, num_games=2, num_frames=5)
    assert playability.true.pressed_way.value == 1
    assert playability.movement_accuracy.value == share_that_a_wall_does_not_stop()
    assert playability.true.paddle_found == SampleMean(1.0, 60)
    assert playability.generated.paddle_found.samples == 10
    assert playability.generated.walls_difference.value is not None
    assert playability.generated.walls_difference.value > 1
    assert sorted(playability.meanings.values()) == ["left", "right", "stay"]
    assert (playability.generated_frames, playability.true_frames) == (5, 20)
    assert measure_playability(breakout, CPU, num_games=2, num_frames=5) == playability

    assert playability.foresight.one_step.ball == SampleMean(None, 0)  # there is none
    assert playability.curves.first_frame == [1]
    assert playability.curves.one_ball == [playability.generated.one_ball.value]
    assert_the_table_says(playability)


def assert_the_table_says(playability: Playability) -> None:
    lines = table(playability).splitlines()
    assert lines[0].split() == ["generated", "true", "samples"]
    (row,) = (line for line in lines if line.startswith("walls difference"))
    figure = playability.generated.walls_difference
    assert row.split() == ["walls", "difference", str(figure), "0.000", "10"]
    (row,) = (line for line in lines if line.startswith("ball frames"))
    assert row.split() == ["ball", "frames", "-", "-", "0"]
    (row,) = (line for line in lines if line.startswith("served"))
    assert row.split() == ["served", str(playability.generated_physics.served), "0.000", "2"]
    (row,) = (line for line in lines if line.startswith("own frame 10"))
    assert row.split() == ["own", "frame", "10", "-", "-", "-", "-", "-", "0"]
    (row,) = (line for line in lines if re.match(" +1 ", line))
    assert row.split()[1:3] == [str(playability.generated.pressed_way), str(playability.generated.paddle_found)]


@pytest.mark.usefixtures("_without_plots")
def test_action_accuracy_is_that_of_the_evaluation_during_training(breakout: Configuration) -> None:
    evaluator = Evaluator(breakout, open_held_out(breakout), CPU)
    torch.manual_seed(0)
    found = evaluator.evaluate(Caddy(breakout)).scalars
    playability = measure_playability(breakout, CPU, num_games=1, num_frames=1)
    assert playability.action_accuracy == SampleMean(found["eval/action_accuracy"], 60)


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Measures a few frames."""
    overrides = [part for override in OVERRIDES for part in ("--set", override)]
    options = ["--device", "cpu", "--games", "1", "--frames", "3", "--json", str(tmp_path / "report.json")]
    configuration = ("--config", str(tmp_path / "square.yaml"), *overrides)
    return Command(playability_command, tmp_path, monkeypatch, capsys, *configuration, *options)


@pytest.mark.usefixtures("_short_lessons")
def test_the_command(breakout: Configuration, command: Command, tmp_path: Path) -> None:
    code, out, err = command()
    assert code == 0, err
    assert "pressed way" in out
    assert out.splitlines()[-1] == f"written to {tmp_path / 'report.json'}"
    report = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert report["benchmark"] == "playability"
    assert report["results"]["run_name"] == breakout.logging.run_name
    assert report["results"]["generated"]["paddle_found"]["samples"] == 3
    assert report["results"]["any_footage"]["frames"] == 3


@pytest.mark.usefixtures("_short_lessons")
def test_footage_like_breakout_whose_actions_are_unknown_is_animated_too(
    breakout: Configuration, command: Command, tmp_path: Path
) -> None:
    for annotations in Path(breakout.data.data_root).rglob("annotations.json"):
        annotations.unlink()
    code, out, err = command("--animation", str(tmp_path / "games.gif"))
    assert code == 0, err
    assert "Breakout's own figures are left out: " in out
    assert "\nBreakout:" not in out
    assert (tmp_path / "games.gif").exists()


def test_the_animation_shows_the_games_that_were_played(breakout: Configuration, tmp_path: Path) -> None:
    measure_playability(breakout, CPU, num_games=3, num_frames=4, animation=tmp_path / "games.gif")
    with Image.open(tmp_path / "games.gif") as animation:
        assert animation.info["loop"] == 0
        assert animation.n_frames == 4  # type: ignore[attr-defined]
        assert animation.size == (3 * 160 + 2 * 2, 192)


def test_an_animation_that_cannot_be_written_is_refused_before_anything_is_played(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    options = ["--config", "none.yaml", "--animation", f"{tmp_path}/file/a.gif"]
    done = run_python("-m", "evaluation.playability", *options)
    assert done.returncode == 2
    assert f"--animation: {tmp_path}/file: cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1


def test_animated_games_are_labelled_with_the_action_that_led_to_each_frame() -> None:
    frames = np.full((2, 3, 96, 80, 3), 100, np.uint8)
    frames[:, 0] = 0
    (first, second) = animated(frames, np.array([[0, 1], [1, 1]]))
    assert first.shape == (192, 322, 3)
    assert (first[100:, :160] == 100).all()
    np.testing.assert_array_equal(first[:, 162:], second[:, :160])  # both follow action 2
    np.testing.assert_array_equal(second[:, :160], second[:, 162:])
    assert not np.array_equal(first[:, :160], first[:, 162:])


def test_other_models_are_refused(square: Path) -> None:
    config = square_configuration(square)
    with pytest.raises(UserError, match="no such checkpoint"):
        measure_playability(config, CPU)
    with pytest.raises(UserError, match=r"the paddle of Breakout is in [0-9]+% of the true frames"):
        measure_playability(with_checkpoint(config), CPU)


def test_true_actions_are_needed(breakout: Configuration) -> None:
    for video in Path(breakout.data.data_root).glob("test/*"):
        (video / "annotations.json").unlink()
    with pytest.raises(UserError, match="split 'test' have no true actions"):
        measure_playability(breakout, CPU)


def test_figures() -> None:
    assert SampleMean.of(np.array([1.0, np.nan, 0.0])) == SampleMean(0.5, 2)
    assert str(SampleMean.of(np.array([np.nan]))) == "-"
    assert str(replace(SampleMean.of(np.array([True])), samples=2)) == "1.000"
