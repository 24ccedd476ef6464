"""`interpolate.py` as users meet it."""

import re
import subprocess
import sys
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from PIL import Image

import interpolate
from model.caddy import Caddy
from playing.interpolation import LABEL_HEIGHT, LABEL_WIDTH
from tests.command import Command
from tests.synthetic import SIDE, square_configuration
from utils.checkpoint import save_checkpoint

REPOSITORY = Path(interpolate.__file__).parent
LARGE = 3 * SIDE
VIDEO_SIDE = 10 * SIDE
"""Pixels of a frame in a picture and in a video."""


class InterpolateCommand(Command):
    """`interpolate.py`."""

    def done(self, *arguments: str) -> Path:
        """Return the folder that it tells of, whose files are the picture and videos that it tells of."""
        code, out, err = self(*arguments)
        assert (code, err) == (0, "")
        told = dict(re.split(r"(?<! ) +(?=/)", line, maxsplit=1) for line in out.splitlines())
        picture, videos = Path(told["picture"]), Path(told["videos"])
        assert {picture, *picture.parent.glob(videos.name)} == set(picture.parent.iterdir())
        return picture.parent

    @property
    def play_root(self) -> Path:
        return self.folder / "play_results"

    def save_model(self) -> None:
        torch.manual_seed(0)
        config = square_configuration(self.folder)
        config.logging.save_directory.mkdir(parents=True)
        save_checkpoint(config.logging.save_directory / "latest.pth.tar", {"model": Caddy(config).state_dict()})


@pytest.fixture
def untrained(square: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InterpolateCommand:
    """The command where there is no checkpoint."""
    common = ("--config", str(square / "square.yaml"), "--device", "cpu", "--play_root", str(square / "play_results"))
    return InterpolateCommand(interpolate, square, monkeypatch, capsys, *common)


@pytest.fixture
def command(untrained: InterpolateCommand) -> InterpolateCommand:
    untrained.save_model()
    return untrained


def picture(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / "grid.png"))


def video_size(path: Path) -> tuple[int, int]:
    """Width and height of its frames."""
    size: tuple[int, int] = next(imageio_ffmpeg.read_frames(path))["size"]
    return size


def test_interpolation(command: InterpolateCommand) -> None:
    between = ("--first_action", "3", "--second_action", "1")
    folder = command.done(*between, "--steps", "4", "--frames", "6", "--fps", "4")
    assert folder.name == "interpolation_3_1"
    assert folder.parents[1] == command.play_root / "square"
    assert picture(folder).shape == (4 * LARGE + 3 * 2, LABEL_WIDTH + 7 * LARGE + 6 * 2, 3)
    videos = sorted(folder.glob("*.mp4"))
    assert [video.name[-9:-4] for video in videos] == ["0.000", "0.333", "0.667", "1.000"]
    for video in videos:
        assert imageio_ffmpeg.count_frames_and_secs(video) == (7, pytest.approx(7 / 4))
        assert video_size(video) == (VIDEO_SIDE, VIDEO_SIDE)


def test_ten_steps_and_frames_unless_asked_otherwise(command: InterpolateCommand) -> None:
    folder = command.done("--first_action", "1", "--second_action", "1")
    assert picture(folder).shape == (10 * LARGE + 9 * 2, LABEL_WIDTH + 11 * LARGE + 10 * 2, 3)
    assert len(list(folder.glob("*.mp4"))) == 10


def test_a_sweep_is_the_ends_of_an_interpolation(command: InterpolateCommand) -> None:
    swept = command.done("--sweep", "--frames", "2")
    assert swept.name == "sweep"
    assert imageio_ffmpeg.count_frames_and_secs(swept / "video.mp4")[0] == 3
    assert video_size(swept / "video.mp4") == (3 * VIDEO_SIDE + 2 * 2, LABEL_HEIGHT + VIDEO_SIDE)
    columns = picture(swept)[LABEL_HEIGHT:].astype(int)
    assert columns.shape == (3 * LARGE + 2 * 2, 3 * LARGE + 2 * 2, 3)

    between = command.done("--first_action", "2", "--second_action", "3", "--steps", "2", "--frames", "2")
    rows = picture(between)[:, LABEL_WIDTH:].astype(int)
    for row, action in enumerate((2, 3)):
        for number in range(3):
            y, x = row * (LARGE + 2), number * (LARGE + 2)
            interpolated = rows[y : y + LARGE, x : x + LARGE]
            y, x = number * (LARGE + 2), (action - 1) * (LARGE + 2)
            assert np.abs(interpolated - columns[y : y + LARGE, x : x + LARGE]).max() <= 1


def test_the_starting_frame(command: InterpolateCommand) -> None:
    def starting_frame(*arguments: str) -> np.ndarray:
        pixels = picture(command.done("--sweep", "--frames", "1", *arguments))
        return pixels[LABEL_HEIGHT : LABEL_HEIGHT + LARGE : 3, :LARGE:3]

    assert np.array_equal(starting_frame("--seed", "1"), starting_frame("--seed", "1"))
    assert any((starting_frame("--seed", "1") != starting_frame("--seed", seed)).any() for seed in "23")

    pixels = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    Image.fromarray(pixels).save(command.folder / "start.png")
    assert np.array_equal(starting_frame("--initial_frame", str(command.folder / "start.png")), pixels)


def test_help_and_typing_errors_do_not_wait_for_torch() -> None:
    script = "import sys; import interpolate; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, check=True)
    done = subprocess.run(
        [sys.executable, "interpolate.py", "--help"], cwd=REPOSITORY, check=True, capture_output=True, text=True
    )
    assert "example:\n  python interpolate.py --config configs/" in done.stdout


# Refused before the model, which is not there, is looked for


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "give --first_action and --second_action, or --sweep"),
        ("--first_action 1", "give --first_action and --second_action, or --sweep"),
        ("--second_action 1 --steps 3", "give --first_action and --second_action, or --sweep"),
        ("--sweep --first_action 1", "--first_action does not go with --sweep"),
        ("--sweep --second_action 1", "--second_action does not go with --sweep"),
        ("--sweep --steps 5", "--steps does not go with --sweep"),
        ("--first_action 1 --second_action 2 --steps 1", "--steps 1: there are at least 2"),
        ("--first_action 1 --second_action 2 --steps -3", "--steps -3: there are at least 2"),
        ("--first_action 1 --second_action 2 --steps many", "argument --steps: invalid int value: 'many'"),
        ("--first_action left --second_action 2", "argument --first_action: invalid int value: 'left'"),
        ("--first_action 0 --second_action 2", "--first_action 0: the actions of this model are 1 to 3"),
        ("--first_action 1 --second_action 4", "--second_action 4: the actions of this model are 1 to 3"),
        ("--sweep --frames 0", "argument --frames: 0 is not a whole number of at least 1"),
        ("--sweep --fps 0", "argument --fps: 0 is not a number above 0"),
        ("--sweep --seed -1", "argument --seed: -1 is not a whole number of at least 0"),
        ("--sweep --device tpu", "argument --device: invalid choice: 'tpu'"),
        ("--sweep --set data.actions=3", "data.actions: unknown key"),
        (
            "--first_action 1 --second_action 2 --set model.action_network.use_variations=false",
            "model.action_network.use_variations is false",
        ),
    ],
)
def test_wrong_arguments(untrained: InterpolateCommand, arguments: str, told: str) -> None:
    assert told in untrained.refused(*arguments.split())


def test_a_folder_that_cannot_be_written(untrained: InterpolateCommand) -> None:
    untrained.play_root.write_text("a file")
    assert untrained.refused("--sweep").endswith("is no folder; choose another --play_root")


def test_a_missing_checkpoint(untrained: InterpolateCommand) -> None:
    assert "latest.pth.tar: no such checkpoint; train one with train.py" in untrained.refused("--sweep")


def test_a_missing_starting_frame(command: InterpolateCommand) -> None:
    assert "nowhere.png: not a picture that can be read" in command.refused("--sweep", "--initial_frame", "nowhere.png")
