import numpy as np
import pytest
from scipy import ndimage

from evaluation.play.inverse_model import InverseModel
from evaluation.play.readings import NUM_FEATURES, Readings, appearance, gradient_energy, still_difference
from evaluation.play.scene import Scene, SceneObserver
from evaluation.play.true_play import Stretch
from tests.evaluation.play.squares import draw

NOISE = np.random.default_rng(0).integers(0, 256, (3, 24, 32, 3), np.uint8)
EVERYWHERE = np.ones((24, 32), np.bool_)


def walk(*positions: int) -> np.ndarray:
    """A sequence (1, T, H, W, 3) of the square."""
    return np.stack([draw(x) for x in positions])[np.newaxis]


def scene(*sequences: np.ndarray) -> Scene:
    observer = SceneObserver()
    for frames in sequences:
        for _ in observer.watch([Stretch(frames, np.zeros((1, frames.shape[1] - 1), np.int64))]):
            pass
    return observer.scene()


def test_still_pixels_are_compared_with_the_first_frame() -> None:
    still = np.zeros_like(EVERYWHERE)
    still[0, 0] = True
    frames = NOISE.copy()
    frames[:, 0, 0] = [(10, 10, 10), (13, 10, 10), (10, 4, 10)]
    np.testing.assert_array_equal(still_difference(frames, frames[0], still), [0, 1, 2])
    assert np.isnan(still_difference(frames, frames[0], ~EVERYWHERE)).all()


def test_blurred_frames_are_less_sharp() -> None:
    blurred = ndimage.uniform_filter(NOISE, (0, 3, 3, 0))
    assert (gradient_energy(blurred, EVERYWHERE) < 0.3 * gradient_energy(NOISE, EVERYWHERE)).all()
    step = np.zeros((1, 3, 3, 3), np.uint8)
    step[:, :, 2] = 8
    assert gradient_energy(step, np.ones((3, 3), np.bool_)) == 32  # 64 at one of two columns


def test_the_appearance_is_of_grey_levels_and_changes() -> None:
    frames = np.stack([np.full((24, 24, 3), level, np.uint8) for level in (10, 40, 20)])
    features = appearance(frames)
    assert features.shape == (2, NUM_FEATURES)
    np.testing.assert_array_equal(features[:, [0, -1]], [[40, 30], [20, 20]])


def test_the_scene_is_what_no_sequence_changes() -> None:
    found = scene(walk(0, 0, 4), walk(16, 16, 16))
    assert not found.still[12:20, [*range(4), *range(8, 12)]].any()  # whence and where the square moves
    assert found.still[12:20, 14:].all()  # it rests there in the other sequence
    assert found.still[:11].all()
    assert found.still[21:].all()
    resting = scene(walk(4, 4))
    assert resting.still.all()
    assert resting.measured.all()


def test_sequences_are_read_stretch_by_stretch() -> None:
    positions = [0, 4, 8, 8, 4, 0, 4, 8, 12]
    frames = walk(*positions)
    actions = (np.sign(np.diff(positions)) + 1)[np.newaxis]
    truth = frames[:, 1:3].copy()
    truth[:, 1] = 0
    stretches = [Stretch(frames[:, :5], actions[:, :4], truth), Stretch(frames[:, 4:], actions[:, 4:])]
    readings = Readings.of(stretches, scene(frames), InverseModel(3).eval())
    np.testing.assert_array_equal(readings.actions, actions)
    assert readings.psnr[0, 0] == pytest.approx(80)
    assert readings.psnr[0, 1] < 15
    assert np.isnan(readings.psnr[0, 2:]).all()
    assert readings.ssim[0, 0] == pytest.approx(1, abs=1e-3)
    assert (readings.stillness == 0).all()
    assert readings.features.shape == (1, 8, NUM_FEATURES)
    assert (readings.followed == (readings.read == actions)).all()


def test_jumps_are_unknown_movements() -> None:
    frames = walk(0, 4, 8, 24, 24)
    actions = np.zeros((1, 4), np.int64)
    background = scene(*(walk(x, x) for x in (0, 8, 16, 24)))
    readings = Readings.of([Stretch(frames, actions)], background, InverseModel(3).eval())
    np.testing.assert_allclose(readings.movements[0, :, 0], [4, 4, 16, 0], atol=0.01)
    assert 15 < readings.longest_movement <= 16
    np.testing.assert_allclose(readings.without_jumps(10).movements[0, :, 0], [4, 4, np.nan, 0], atol=0.01)
    unknown = readings.without_jumps(-1)
    assert np.isnan(unknown.movements).all()
    assert unknown.longest_movement == 0
