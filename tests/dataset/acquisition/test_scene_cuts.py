from collections.abc import Iterable

import numpy as np

from dataset.acquisition.readers.source import SourceFrame
from dataset.acquisition.scene_cuts import number_scenes


def scenes(frames: Iterable[np.ndarray]) -> list[int]:
    return [seen.scene for seen in number_scenes(map(SourceFrame, frames))]


def picture(seed: int, width: int = 64) -> np.ndarray:
    """A picture of coarse random blocks, uint8 (48, width, 3)."""
    blocks = np.random.default_rng(seed).integers(0, 256, (6, width // 8, 3), np.uint8)
    return blocks.repeat(8, axis=0).repeat(8, axis=1)


def with_noise(frame: np.ndarray, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 12, frame.shape)
    return np.clip(frame + noise, 0, 255).astype(np.uint8)


def pan(seed: int, num_frames: int, step: int) -> list[np.ndarray]:
    """A view that moves by some pixels a frame."""
    wide = picture(seed, 64 + 8 * num_frames * step)
    return [wide[:, step * index : step * index + 64] for index in range(num_frames)]


def test_a_cut_between_still_scenes() -> None:
    frames = [with_noise(picture(scene), index) for scene in (1, 2, 3) for index in range(10)]
    assert scenes(frames) == [0] * 10 + [1] * 10 + [2] * 10


def test_a_cut_between_moving_scenes() -> None:
    assert scenes(pan(1, 12, 2) + pan(2, 12, 2)) == [0] * 12 + [1] * 12


def test_short_scenes_at_either_end() -> None:
    frames = [picture(1)] * 2 + [picture(2)] * 10 + [picture(3)] * 2
    assert scenes(frames) == [0] * 2 + [1] * 10 + [2] * 2
    assert scenes([picture(1)] + [picture(2)] * 10) == [0] + [1] * 10


def test_fast_movement_is_no_cut() -> None:
    assert set(scenes(pan(1, 30, 6))) == {0}
    assert set(scenes([picture(1)] * 10 + pan(1, 20, 4))) == {0}


def test_a_flash_is_no_cut() -> None:
    flash = np.full_like(picture(1), 255)
    frames = [picture(1)] * 8 + [flash] + [picture(1)] * 8
    assert set(scenes(frames)) == {0}


def test_small_and_gradual_changes_are_no_cuts() -> None:
    still = picture(1)
    changed = still.copy()
    changed[:16, :8] = 255 - changed[:16, :8]
    assert set(scenes([still] * 8 + [changed] * 8)) == {0}
    fade = [(still * share).astype(np.uint8) for share in np.linspace(1, 0, 20)]
    assert set(scenes(fade)) == {0}


def test_few_frames() -> None:
    assert scenes([]) == []
    assert scenes([picture(1)]) == [0]
    assert scenes([picture(1), picture(1)]) == [0, 0]
