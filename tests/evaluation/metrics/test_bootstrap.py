"""Bootstrap intervals against what is known of means."""

import numpy as np
import pytest

from evaluation.metrics.bootstrap import bootstrap_interval


def test_the_interval_of_many_sequences_is_that_of_a_normal_mean(random: np.random.Generator) -> None:
    values = random.normal(3, 2, 400)
    error = values.std() / 20

    interval = bootstrap_interval(values, resamples=10_000)

    assert interval == pytest.approx((values.mean() - 1.96 * error, values.mean() + 1.96 * error), abs=0.05 * error)


def test_frames_of_one_sequence_are_no_evidence_of_their_own(random: np.random.Generator) -> None:
    values = random.normal(size=30)

    interval = bootstrap_interval(np.repeat(values[:, None], 50, axis=1))

    assert interval == pytest.approx(bootstrap_interval(values))


def test_sequences_count_by_their_known_values() -> None:
    values = np.array([[1.0, 1, 1], [4, np.nan, np.nan]])

    interval = bootstrap_interval(values, resamples=100)

    assert interval == (1, 4)
    means = {bootstrap_interval(values, seed, resamples=1) for seed in range(50)}
    assert means == {(1, 1), ((1 + 1 + 1 + 4) / 4,) * 2, (4, 4)}


def test_sequences_without_known_values_do_not_exist(random: np.random.Generator) -> None:
    values = random.normal(size=(20, 3))
    values[2, 1] = np.nan
    with_unknown = np.insert(values, 7, np.nan, axis=0)

    assert bootstrap_interval(with_unknown) == bootstrap_interval(values)


def test_equal_values_leave_no_doubt() -> None:
    assert bootstrap_interval(np.full((5, 2), 0.25)) == (0.25, 0.25)


@pytest.mark.parametrize("values", [[], [1.0], [[1.0, 2]], [1.0, np.nan], [[np.nan, np.nan], [1, 2]]])
def test_one_sequence_tells_nothing(values: list[float]) -> None:
    assert bootstrap_interval(np.array(values)) is None


def test_the_interval_depends_on_the_seed_alone(random: np.random.Generator) -> None:
    values = random.normal(size=(40, 3))

    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values, seed=1) != bootstrap_interval(values)
