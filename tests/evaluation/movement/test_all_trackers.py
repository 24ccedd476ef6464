"""Each way to find the controlled thing, on frames where it is known where that is."""

from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dataset.video import Video
from evaluation.breakout.tracking import BreakoutTracker, PublishedBreakoutTracker
from evaluation.configuration import MovementName
from evaluation.movement import all_trackers
from evaluation.movement.all_trackers import select_tracker
from evaluation.movement.bair import BairTracker
from evaluation.movement.generic import GenericTracker
from evaluation.movement.tennis import TennisTracker
from tests.configurations import FIXTURES
from tests.evaluation.breakout.test_tracking import CENTRES, PADDLE_ROWS, draw, drawn
from tests.synthetic import SQUARE, write_square_videos
from utils.command import UserError

CPU = torch.device("cpu")
UNKNOWN: list[list[dict[str, Any]]] = [[{}]]


@pytest.fixture(scope="module")
def screens() -> np.ndarray:
    """Real frames of Breakout, six sequences of 16, resized to 160x208 as the published data set was."""
    folders = sorted((FIXTURES / "authors_layout_sample").glob("*/*"))
    videos = [Video(folder) for folder in folders]
    return np.stack([[np.asarray(video.frame(t).resize((160, 208))) for t in range(16)] for video in videos])


def flat(frames: np.ndarray) -> np.ndarray:
    return frames.reshape(-1, *frames.shape[2:])


def test_breakout_follows_the_published_rule_on_whole_screens(screens: np.ndarray) -> None:
    tracker = BreakoutTracker.of(flat(screens))
    assert tracker.row == 188
    positions = tracker.positions(screens, UNKNOWN)
    assert positions.shape == (6, 16, 1)
    assert positions[0, :9, 0].tolist() == [99, 92, 71, 47, 36, 48, 71, 94, 116]

    frame = np.zeros((1, 4, 208, 160, 3), np.uint8)
    frame[0, 0, 188, 30:41] = frame[0, 1, 188, 30:42] = (200, 72, 72)
    frame[0, 2, 188, 30:42] = (62, 34, 110)
    frame[0, 3, 188, 30:42] = (61, 34, 110)
    np.testing.assert_array_equal(tracker.positions(frame, UNKNOWN).ravel(), [np.nan, 30, 30, np.nan])


def test_the_published_rule_is_followed_to_the_letter(screens: np.ndarray) -> None:
    tracker = PublishedBreakoutTracker()
    positions = tracker.positions(screens, UNKNOWN)
    assert positions.shape == (6, 16, 1)
    assert positions[0, :9, 0].tolist() == [99, 92, 71, 47, 36, 48, 71, 94, 116]

    def found(*runs: tuple[int, int, int], width: int = 160, height: int = 208) -> float:
        """The position where runs of a red from one column to another are in the row that is read."""
        frame = np.zeros((1, 1, height, width, 3), np.uint8)
        for first, end, red in runs:
            frame[0, 0, 188 * height // 208, first:end] = (red, 255, 7)
        return float(tracker.positions(frame, UNKNOWN).item())

    assert np.isnan(found((30, 41, 200)))
    assert found((30, 42, 200)) == 30
    assert [found((30, 42, red)) for red in (62, 238)] == [30, 30]
    assert np.isnan([found((30, 42, red)) for red in (61, 239)]).all()
    assert found((0, 8, 142), (8, 24, 200)) == 0
    assert found((30, 42, 200), (60, 90, 200)) == 30
    assert found((20, 25, 200), (30, 42, 100)) == 30
    assert found((147, 160, 142)) == 147
    assert np.isnan(found((148, 160, 142)))
    assert found((30, 42, 200), width=80, height=96) == 30


def test_breakout_reads_another_row_in_frames_that_are_cut_out_of_the_screen() -> None:
    tracker = BreakoutTracker.of(drawn(CENTRES))
    assert tracker.row == PADDLE_ROWS[1]
    frames = np.stack([drawn([20.0, 30.0, None]), drawn([8.0, 40.0, 72.0])])
    np.testing.assert_array_equal(tracker.positions(frames, UNKNOWN)[..., 0], [[16, 26, np.nan], [4, 36, 68]])


class Boxes(nn.Module):
    """A detector that finds the same in every frame."""

    def __init__(self, *boxes: tuple[float, ...], scores: float = 0.9, label: int = 1) -> None:
        super().__init__()
        self.boxes = torch.tensor(boxes).reshape(-1, 4)
        self.scores, self.labels = torch.full((len(boxes),), scores), torch.full((len(boxes),), label)
        self.frames: list[Tensor] = []

    def forward(self, frames: list[Tensor]) -> list[dict[str, Tensor]]:
        self.frames += frames
        return [{"boxes": self.boxes, "labels": self.labels, "scores": self.scores} for _ in frames]


def court(height: int = 96, width: int = 256) -> np.ndarray:
    return np.full((1, 1, height, width, 3), 51, np.uint8)


@pytest.mark.parametrize(
    ("detector", "expected"),
    [
        (Boxes((10, 50, 20, 70), (100, 30, 110, 60)), (105, 45)),
        (Boxes((100, 30, 110, 60), (10, 50, 20, 70)), (105, 45)),
        (Boxes((100, 30, 110, 60), scores=0.8), None),
        (Boxes((100, 30, 110, 60), label=2), None),
        (Boxes(), None),
        (Boxes((40, 26, 60, 90)), None),
        (Boxes((40, 26, 61, 90)), (50.5, 58)),
        (Boxes((40, 27, 60, 90)), (50, 58.5)),
        (Boxes((200, 26, 220, 90)), None),
        (Boxes((199, 26, 220, 90)), (209.5, 58)),
        (Boxes((100, 81, 110, 96)), None),
        (Boxes((100, 80, 110, 96)), (105, 88)),
        (Boxes((40, 0, 60, 90), (100, 30, 110, 60)), (105, 45)),
    ],
)
def test_tennis_finds_the_tallest_person_on_the_court(detector: Boxes, expected: tuple[float, float] | None) -> None:
    positions = TennisTracker(detector, CPU).positions(court(), UNKNOWN)
    np.testing.assert_array_equal(positions, [[expected or (np.nan, np.nan)]])


def test_tennis_scales_the_court_with_the_frames() -> None:
    def found(*box: float) -> bool:
        positions = TennisTracker(Boxes(box), CPU).positions(court(192, 128), UNKNOWN)
        return bool(np.isfinite(positions).all())

    assert [found(20, top, right, 180) for top, right in ((52, 30), (53, 30), (52, 31))] == [False, True, True]
    assert [found(50, top, 60, 190) for top in (160, 161)] == [True, False]


def test_the_detector_sees_frames_in_order_from_0_to_1() -> None:
    frames = np.arange(2 * 20, dtype=np.uint8).reshape(2, 20, 1, 1, 1).repeat(3, axis=-1) * 6
    detector = Boxes()
    TennisTracker(detector, CPU).positions(frames, UNKNOWN)
    np.testing.assert_allclose(torch.stack(detector.frames)[:, 0, 0, 0], np.arange(40) * 6 / 255, rtol=1e-6)
    assert detector.frames[0].shape == (3, 1, 1)


def test_bair_reads_the_state() -> None:
    metadata: list[list[dict[str, Any]]] = [[{"state": [0.5, -1.5, 3.0]}, {}], [{"state": None}, {"state": [1, None]}]]
    positions = BairTracker().positions(np.zeros((2, 2, 4, 4, 3), np.uint8), metadata)
    nan = [np.nan, np.nan]
    np.testing.assert_array_equal(positions, [[[0.5, -1.5], nan], [nan, nan]])


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Frames (B, T, H, W, 3), actions (B, T-1) and centres (B, T, 2) of the synthetic data set."""
    root = tmp_path_factory.mktemp("squares")
    write_square_videos(root, {"test": 6})
    videos = [Video(folder) for folder in sorted((root / "test").iterdir())]
    frames = np.stack([[np.asarray(video.frame(t)) for t in range(len(video))] for video in videos])
    annotations = [video.annotations for video in videos]
    corners = np.array([[entry["agent_position"] for entry in sequence.metadata] for sequence in annotations])
    return frames, np.array([sequence.actions[:-1] for sequence in annotations]), corners + SQUARE / 2


Squares = tuple[np.ndarray, np.ndarray, np.ndarray]


def test_generic_follows_a_square(squares: Squares) -> None:
    frames, _, centres = squares
    tracker = GenericTracker.of(flat(frames))
    np.testing.assert_allclose(tracker.positions(frames, UNKNOWN), centres)


def test_generic_survives_flashes_noise_and_small_things(squares: Squares) -> None:
    frames, _, centres = squares
    random = np.random.default_rng(0)
    flashing = frames + random.integers(0, 100, (*frames.shape[:2], 1, 1, 1))
    flashing = (flashing + random.integers(-5, 6, flashing.shape)).clip(0, 255).astype(np.uint8)
    flashing[:, ::3, -2:, -2:] = 255
    tracker = GenericTracker.of(flat(flashing))
    assert np.abs(tracker.positions(flashing, UNKNOWN) - centres).max() < 0.5


def test_generic_finds_nothing_where_nothing_changes(squares: Squares) -> None:
    frames, _, _ = squares
    still = np.repeat(frames[:2, :1], 5, axis=1)
    assert np.isnan(GenericTracker.of(flat(frames)).positions(still[:, :, :, :1], UNKNOWN)).all()
    assert np.isnan(GenericTracker.of(still[0]).positions(still[:1], UNKNOWN)).all()


def test_generic_follows_a_square_in_a_scene_of_its_own(squares: Squares) -> None:
    frames, _, centres = squares
    tracker = GenericTracker.of(flat(frames))
    texture = np.random.default_rng(0).integers(0, 256, frames.shape[2:], np.uint8)
    elsewhere = np.where(frames == 40, texture, frames)
    found = tracker.positions(elsewhere, UNKNOWN)
    is_moving = (np.abs(centres - np.median(centres, axis=1, keepdims=True)) >= SQUARE).any(axis=-1)
    assert np.abs(found - centres)[is_moving].mean() < 1


def test_generic_follows_the_paddle_of_breakout(screens: np.ndarray) -> None:
    left_ends = BreakoutTracker.of(flat(screens)).positions(screens, UNKNOWN)[..., 0]
    centres = GenericTracker.of(flat(screens)).positions(screens, UNKNOWN)[..., 0]
    is_whole = left_ends < 136  # no wall hides a part
    assert np.abs(centres - left_ends - 8)[is_whole].max() < 5


def test_selection_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(all_trackers, "load_person_detector", Boxes)
    frames = drawn(CENTRES)
    kinds = [type(select_tracker(name, frames, CPU)) for name in get_args(MovementName)]
    assert kinds == [
        TennisTracker,
        BreakoutTracker,
        PublishedBreakoutTracker,
        BairTracker,
        GenericTracker,
        type(None),
    ]
    with pytest.raises(UserError, match=r"the paddle of Breakout is in 0% of the true frames"):
        select_tracker("breakout", np.stack([draw(None)] * 3), CPU)
