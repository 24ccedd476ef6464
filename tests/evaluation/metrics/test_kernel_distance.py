"""KID against sums written out, and how it samples."""

from itertools import permutations, product

import numpy as np
import pytest

from evaluation.metrics import kernel_distance as module
from evaluation.metrics.kernel_distance import FeatureSample, kernel_distance, squared_mmd


def kernel(x: np.ndarray, y: np.ndarray) -> float:
    return float((x @ y / len(x) + 1) ** 3)


@pytest.mark.parametrize(("num_first", "num_second"), [(2, 2), (5, 5), (7, 3)])
def test_distance_is_the_unbiased_sum_over_pairs(random: np.random.Generator, num_first: int, num_second: int) -> None:
    first, second = random.normal(size=(num_first, 4)), random.normal(size=(num_second, 4)) + 1
    within = [np.mean([kernel(x, y) for x, y in permutations(samples, 2)]) for samples in (first, second)]
    across = np.mean([kernel(x, y) for x, y in product(first, second)])

    assert squared_mmd(first, second) == pytest.approx(sum(within) - 2 * across, rel=1e-12)


def test_distance_of_two_points() -> None:
    first, second = np.tile([1.0, 0, 2, 1], (5, 1)), np.tile([0.0, 1, 1, -1], (9, 1))

    expected = kernel(first[0], first[0]) + kernel(second[0], second[0]) - 2 * kernel(first[0], second[0])

    assert squared_mmd(first, second) == pytest.approx(expected, rel=1e-12)
    assert squared_mmd(first, first) == pytest.approx(0, abs=1e-12)


def test_estimates_of_nothing_average_to_nothing(random: np.random.Generator) -> None:
    estimates = [squared_mmd(*random.normal(size=(2, 5, 3))) for _ in range(400)]

    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates)) < 3 * error
    assert np.min(estimates) < 0


def test_small_sets_are_compared_whole(random: np.random.Generator) -> None:
    first, second = random.normal(size=(1000, 2)), random.normal(size=(30, 2))

    result = kernel_distance(first, second)

    assert result.mean == squared_mmd(first, second)
    assert result.deviation is None
    assert result.num_subsets == 1


def test_large_sets_are_compared_by_random_subsets(
    random: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBSET_SIZE", 40)
    first, second = random.normal(size=(300, 3)), random.normal(size=(41, 3)) + 1

    result = kernel_distance(first, second)

    whole = squared_mmd(first, second)
    assert result.num_subsets == 100
    assert result.deviation is not None
    assert 0.05 * whole < result.deviation < whole
    assert result.mean == pytest.approx(whole, abs=4 * result.deviation / 10)
    assert kernel_distance(first, second) == result
    assert kernel_distance(first, second, seed=1) != result


@pytest.mark.parametrize(("num_first", "num_second"), [(1, 5), (5, 1)])
def test_one_sample_has_no_distance(num_first: int, num_second: int) -> None:
    with pytest.raises(ValueError, match="at least 2 samples"):
        kernel_distance(np.ones((num_first, 3)), np.ones((num_second, 3)))


def test_what_is_not_finite_is_refused() -> None:
    broken = np.ones((4, 3))
    broken[0, 0] = np.nan

    with pytest.raises(ValueError, match="NaN"):
        kernel_distance(broken, np.ones((4, 3)))


def test_features_are_all_kept_while_there_is_room(random: np.random.Generator) -> None:
    features = random.normal(size=(10, 2)).astype(np.float32)
    sample = FeatureSample(2, capacity=10)
    for batch in (features[:3], features[3:]):
        sample.add(batch)

    np.testing.assert_array_equal(sample.features, features)


def test_each_feature_is_as_likely_kept_however_they_come() -> None:
    features = np.arange(20, dtype=np.float32)[:, None]
    times_kept = np.zeros(20)
    for seed in range(1000):
        at_once, in_batches = FeatureSample(1, seed, capacity=5), FeatureSample(1, seed, capacity=5)
        at_once.add(features)
        for batch in np.split(features, [1, 8, 13]):
            in_batches.add(batch)
        np.testing.assert_array_equal(at_once.features, in_batches.features)
        assert len(np.unique(at_once.features)) == 5
        times_kept[at_once.features.astype(int).ravel()] += 1

    np.testing.assert_allclose(times_kept, 250, atol=60)


def test_a_subset_holds_no_sample_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = set()

    def count(first: np.ndarray, second: np.ndarray) -> float:
        sizes.add((len(np.unique(first)), len(np.unique(second))))
        return 0.0

    monkeypatch.setattr(module, "SUBSET_SIZE", 40)
    monkeypatch.setattr(module, "squared_mmd", count)

    kernel_distance(np.arange(45.0)[:, None], np.arange(12.0)[:, None])

    assert sizes == {(40, 12)}
