from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from PIL import Image

from playing.game import Game
from playing.interpolation import (
    LABEL_HEIGHT,
    LABEL_WIDTH,
    HeldActions,
    between,
    each_action,
    label,
    play_held,
    save_interpolation,
    save_sweep,
)
from playing.simulator import Simulator
from tests.configurations import MODELS
from tests.playing import untrained
from utils.images import tile

SIMULATORS: dict[str, tuple[str, ...]] = {
    **MODELS,
    "stack_of_2": ("training.batching.observation_stacking=2", "evaluation.batching.observation_stacking=2"),
}
SHARES = np.linspace(0, 1, 5)
FRAMES = np.random.default_rng(3).integers(0, 256, (3, 4, 16, 32, 3), np.uint8)  # three games, four frames
FACTOR = 3  # frames of 32x16 pixels are shown as 96x48
VIDEO_FACTOR = 20  # and are 320 pixels high in videos


@pytest.fixture(params=list(SIMULATORS.values()), ids=list(SIMULATORS))
def simulator(request: pytest.FixtureRequest) -> Simulator:
    return untrained.simulator(*request.param)


@pytest.fixture
def stack(simulator: Simulator) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, simulator.stack_shape, np.uint8)


# What lies between two actions


@pytest.mark.parametrize(("first", "second"), [(0, 1), (4, 2), (3, 0), (2, 2)])
def test_interpolation_is_that_of_the_paper(first: int, second: int) -> None:
    centroids = np.random.default_rng(0).standard_normal((5, 3))
    shares = np.array([0, 0.1, 0.25, 0.49, 0.5, 0.51, 0.9, 1])
    held = between(centroids, first, second, shares)
    for number, s in enumerate(shares):
        nearer = first if s <= 0.5 else second
        point = centroids[first] + s * (centroids[second] - centroids[first])
        assert held.actions[number] == nearer
        np.testing.assert_allclose(held.variations[number], point - centroids[nearer], rtol=0, atol=1e-12)


def test_the_ends_are_the_actions_themselves() -> None:
    centroids = np.random.default_rng(1).standard_normal((7, 5)).astype(np.float32) * 1e3
    held = between(centroids, 6, 1, SHARES)
    assert held.actions.tolist() == [6, 6, 6, 1, 1]
    assert not held.variations[[0, -1]].any()
    assert held.variations[1:-1].all()


def test_the_ends_are_played_as_ordinary_actions(simulator: Simulator, stack: np.ndarray) -> None:
    first, second = 2, 0
    held = between(simulator.centroids.numpy(), first, second, SHARES)
    frames = play_held(simulator, stack, held, num_frames=3)
    assert frames.shape == (len(SHARES), 4, 16, 32, 3)
    assert (frames[:, 0] == stack[-1]).all()

    moment = simulator.start(np.stack([stack] * len(SHARES)))
    games = {action: Game(simulator, stack, seed=0) for action in (first, second)}
    for frame in frames[:, 1:].swapaxes(0, 1):
        moment = simulator.step(moment, held.actions)
        assert np.array_equal(frame[[0, -1]], moment.frames[[0, -1]])
        for number, action in ((0, first), (-1, second)):
            games[action].act(action)
            assert np.abs(frame[number].astype(int) - games[action].frame).max() <= 1


def test_each_step_differs_from_the_one_before(simulator: Simulator, stack: np.ndarray) -> None:
    held = between(simulator.centroids.numpy(), 0, 1, SHARES)
    last_frames = play_held(simulator, stack, held, num_frames=2)[:, -1]
    assert (last_frames[1:] != last_frames[:-1]).any(axis=(1, 2, 3)).all()


def test_between_an_action_and_itself_nothing_changes(simulator: Simulator, stack: np.ndarray) -> None:
    frames = play_held(simulator, stack, between(simulator.centroids.numpy(), 1, 1, SHARES), num_frames=2)
    assert (np.abs(frames - frames[:1].astype(int)) <= 1).all()


def test_variations_are_those_of_the_game_they_belong_to(simulator: Simulator, stack: np.ndarray) -> None:
    variations = np.array([[0.5, -1.0], [0.0, 2.0]])
    frames = play_held(simulator, stack, HeldActions(np.array([2, 1]), variations), num_frames=2)
    moment = simulator.start(stack[np.newaxis])
    for frame in frames[1, 1:]:
        moment = simulator.step(moment, np.array([1]), variations[1:])
        assert np.abs(frame - moment.frames[0].astype(int)).max() <= 1


# What each action does


def test_a_sweep_plays_each_action(simulator: Simulator, stack: np.ndarray) -> None:
    frames = play_held(simulator, stack, each_action(simulator), num_frames=3)
    assert frames.shape == (3, 4, 16, 32, 3)
    for action in range(3):
        game = Game(simulator, stack, seed=0)
        for frame in frames[action, 1:]:
            game.act(action)
            assert np.abs(frame.astype(int) - game.frame).max() <= 1


# Pictures and videos


def read_picture(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def read_video(path: Path) -> np.ndarray:
    """The frames uint8 (N, H, W, 3) of a video."""
    reader = imageio_ffmpeg.read_frames(path)
    width, height = next(reader)["size"]
    return np.stack([np.frombuffer(pixels, np.uint8).reshape(height, width, 3) for pixels in reader])


def assert_alike(compressed: np.ndarray, pixels: np.ndarray) -> None:
    """The middles of enlarged pixels survive compression, but for some of their colour."""
    offset = VIDEO_FACTOR // 2
    difference = compressed.astype(int)[offset::VIDEO_FACTOR, offset::VIDEO_FACTOR] - pixels
    assert np.abs(difference).mean() < 12


def test_labels_show_their_text() -> None:
    one, two = label("1", 32, 80), label("2", 32, 80)
    assert one.shape == two.shape == (32, 80, 3)
    assert (one != two).any()
    is_ink = (one < 100).all(axis=2)
    rows, columns = np.nonzero(is_ink)
    assert abs(rows.mean() - 16) < 3
    assert abs(columns.mean() - 40) < 3


def test_an_interpolation_is_a_picture_and_a_video_for_each_step(tmp_path: Path) -> None:
    folder = tmp_path / "session" / "interpolation_1_2"
    save_interpolation(folder, FRAMES, np.linspace(0, 1, 3), frame_rate=8)
    videos = ["step_01_s_0.000.mp4", "step_02_s_0.500.mp4", "step_03_s_1.000.mp4"]
    assert sorted(path.name for path in folder.iterdir()) == ["grid.png", *videos]

    picture = read_picture(folder / "grid.png")
    margin, frames = picture[:, :LABEL_WIDTH], picture[:, LABEL_WIDTH:]
    assert np.array_equal(frames, tile(FRAMES.repeat(FACTOR, axis=2).repeat(FACTOR, axis=3)))
    labels = [margin[row * 50 : row * 50 + 48] for row in range(3)]
    for seen, text in zip(labels, ("0.00", "0.50", "1.00"), strict=True):
        assert np.array_equal(seen, label(text, 48, LABEL_WIDTH))

    for name, expected in zip(videos, FRAMES, strict=True):
        assert imageio_ffmpeg.count_frames_and_secs(folder / name) == (4, pytest.approx(0.5))
        played = read_video(folder / name)
        assert played.shape == (4, 16 * VIDEO_FACTOR, 32 * VIDEO_FACTOR, 3)
        for frame, pixels in zip(played, expected, strict=True):
            assert_alike(frame, pixels)


def test_a_sweep_is_a_picture_and_a_video_of_all_actions(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    save_sweep(folder, FRAMES, frame_rate=5)
    assert sorted(path.name for path in folder.iterdir()) == ["grid.png", "video.mp4"]

    picture = read_picture(folder / "grid.png")
    large = FRAMES.repeat(FACTOR, axis=2).repeat(FACTOR, axis=3)
    assert np.array_equal(picture[LABEL_HEIGHT:], tile(large.swapaxes(0, 1)))
    labels = [picture[:LABEL_HEIGHT, column * 98 : column * 98 + 96] for column in range(3)]
    for seen, text in zip(labels, "123", strict=True):
        assert np.array_equal(seen, label(text, LABEL_HEIGHT, 96))

    assert imageio_ffmpeg.count_frames_and_secs(folder / "video.mp4") == (4, pytest.approx(0.8))
    width = 32 * VIDEO_FACTOR
    played = read_video(folder / "video.mp4")
    assert played.shape == (4, LABEL_HEIGHT + 16 * VIDEO_FACTOR, 3 * width + 2 * 2, 3)
    for action in range(3):
        column = played[:, :, action * (width + 2) :][:, :, :width]
        assert (column[:, :LABEL_HEIGHT] < 100).any(axis=(1, 2, 3)).all()
        for frame, pixels in zip(column, FRAMES[action], strict=True):
            assert_alike(frame[LABEL_HEIGHT:], pixels)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    with pytest.raises(FileExistsError):
        save_interpolation(tmp_path, FRAMES, np.linspace(0, 1, 3), frame_rate=8)
    with pytest.raises(FileExistsError):
        save_sweep(tmp_path, FRAMES, frame_rate=8)
    assert not list(tmp_path.iterdir())
