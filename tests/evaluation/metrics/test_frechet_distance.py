"""Fréchet distances against closed forms for Gaussians."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import linalg, stats

from evaluation.metrics.frechet_distance import GaussianStatistics, few_samples_warning, frechet_distance

ROTATION = stats.ortho_group.rvs(6, random_state=0)
SHIFT = np.array([1.0, -2, 0, 0, 3, 0.5])


def gaussian(covariance: np.ndarray, mean: np.ndarray | float = 0.0) -> GaussianStatistics:
    """The statistics of samples that have exactly this covariance (F, F) and mean."""
    values, vectors = linalg.eigh(covariance)
    axes = (vectors * np.sqrt(values.clip(min=0))).T * np.sqrt(len(covariance) - 0.5)
    statistics = GaussianStatistics(len(covariance))
    statistics.add(np.concatenate([axes, -axes]) + mean)
    return statistics


def random_covariance(random: np.random.Generator) -> np.ndarray:
    samples = random.normal(size=(6, 20))
    return np.cov(samples)


def rotated(variances: np.ndarray) -> np.ndarray:
    product: np.ndarray = ROTATION * variances @ ROTATION.T
    return product


@pytest.mark.parametrize("turn", [np.diag, rotated])
def test_commuting_covariances(turn: Callable[[np.ndarray], np.ndarray]) -> None:
    first, second = np.array([4.0, 1, 9, 0.25, 1, 2]), np.array([1.0, 1, 4, 1, 0.01, 3])

    distance = frechet_distance(gaussian(turn(first)), gaussian(turn(second), SHIFT))

    expected = np.square(SHIFT).sum() + np.square(np.sqrt(first) - np.sqrt(second)).sum()
    assert distance == pytest.approx(expected, rel=1e-12)


def test_any_covariances(random: np.random.Generator) -> None:
    first, second = random_covariance(random), random_covariance(random)

    expected = np.trace(first + second - 2 * linalg.sqrtm(first @ second).real)

    assert frechet_distance(gaussian(first), gaussian(second)) == pytest.approx(expected, rel=1e-10)
    assert frechet_distance(gaussian(second), gaussian(first)) == pytest.approx(expected, rel=1e-10)


def test_singular_covariances(random: np.random.Generator) -> None:
    first, second = random.normal(size=(2, 6))

    distance = frechet_distance(gaussian(np.outer(first, first)), gaussian(np.outer(second, second)))

    assert distance == pytest.approx(first @ first + second @ second - 2 * abs(first @ second), rel=1e-6)


def test_points() -> None:
    nothing = np.zeros((6, 6))

    assert frechet_distance(gaussian(nothing), gaussian(nothing, SHIFT)) == pytest.approx(np.square(SHIFT).sum())


@pytest.mark.parametrize("num_samples", [20, 1000])
def test_a_set_has_no_distance_from_itself(random: np.random.Generator, num_samples: int) -> None:
    statistics = GaussianStatistics(64)
    statistics.add(random.normal(size=(num_samples, 64)) * np.linspace(0.01, 10, 64))

    distance = frechet_distance(statistics, statistics)

    assert 0 <= distance < 1e-6 * np.trace(statistics.covariance)


def test_statistics_are_those_of_all_samples_together(random: np.random.Generator) -> None:
    samples = (1e6 + random.normal(size=(103, 5))).astype(np.float32)
    one_by_one, halves = GaussianStatistics(5), [GaussianStatistics(5), GaussianStatistics(5)]
    for sample in samples:
        one_by_one.add(sample[None])
    for statistics, half in zip(halves, (samples[:40], samples[40:]), strict=True):
        statistics.add(half)
    halves[0].merge(halves[1])

    for statistics in (one_by_one, halves[0]):
        assert statistics.count == 103
        np.testing.assert_allclose(statistics.mean, samples.mean(axis=0, dtype=np.float64), rtol=1e-13)
        np.testing.assert_allclose(statistics.covariance, np.cov(samples.T, dtype=np.float64), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_is_not_finite_is_refused(random: np.random.Generator, value: float) -> None:
    samples = random.normal(size=(10, 3))
    sound, broken = GaussianStatistics(3), GaussianStatistics(3)
    sound.add(samples)
    samples[4, 1] = value
    broken.add(samples)

    for pair in ((sound, broken), (broken, sound)):
        with pytest.raises(ValueError, match="infs or NaNs"):
            frechet_distance(*pair)


def test_one_sample_has_no_covariance() -> None:
    statistics = GaussianStatistics(3)
    statistics.add(np.ones((1, 3)))

    with pytest.raises(ValueError, match="at least 2 samples, there are 1"):
        frechet_distance(statistics, statistics)


def test_too_few_samples_are_told() -> None:
    few, enough = GaussianStatistics(3), GaussianStatistics(3)
    few.add(np.ones((3, 3)))
    enough.add(np.ones((4, 3)))

    assert few_samples_warning("fid", enough, enough) is None
    warning = few_samples_warning("fid", enough, few)
    assert warning is not None
    assert warning.startswith("fid: 3 samples are too few for a covariance of 3 features")
    assert "\n" not in warning
