import pytest

from tests.configurations import published_configuration, small_configuration
from training.schedules import ground_truth_observations, gumbel_temperature, is_pretraining, observations_count
from utils.configuration import Training


def training(**values: float) -> Training:
    return small_configuration(*(f"training.{key}={value}" for key, value in values.items())).training


@pytest.mark.parametrize(
    ("step", "temperature"), [(1, 0.99997), (10_000, 0.7), (20_000, 0.4), (20_001, 0.4), (300_000, 0.4)]
)
def test_published_temperature(step: int, temperature: float) -> None:
    assert gumbel_temperature(step, published_configuration("01_bair").training) == pytest.approx(temperature)


@pytest.mark.parametrize(
    ("name", "step", "count"),
    [
        ("01_bair", 1, 7),
        ("01_bair", 4_999, 7),
        ("01_bair", 5_000, 8),
        ("01_bair", 24_999, 11),
        ("01_bair", 25_000, 12),
        ("01_bair", 300_000, 12),
        ("02_breakout", 7_499, 7),
        ("02_breakout", 7_500, 8),
        ("02_breakout", 15_000, 9),
        ("03_tennis", 25_000, 12),
    ],
)
def test_published_sequence_lengths(name: str, step: int, count: int) -> None:
    assert observations_count(step, published_configuration(name).training.batching) == count


def test_sequence_length_without_a_start_is_constant() -> None:
    batching = {"training.batching.observations_count": 9, "training.batching.observations_count_start": "null"}
    config = small_configuration(*(f"{key}={value}" for key, value in batching.items()))

    assert {observations_count(step, config.training.batching) for step in (1, 10, 10_000)} == {9}


@pytest.mark.parametrize("step", [1, 15_999, 16_000, 16_001, 300_000])
def test_published_ground_truth_observations(step: int) -> None:
    assert ground_truth_observations(step, published_configuration("02_breakout").training) == 6


@pytest.mark.parametrize(
    ("step", "count"), [(1, 5), (25, 5), (49, 5), (50, 4), (74, 4), (75, 3), (99, 3), (100, 2), (5_000, 2)]
)
def test_ground_truth_observations_fall_and_are_rounded_up(step: int, count: int) -> None:
    config = small_configuration(
        "training.ground_truth_observations_start=6",
        "training.ground_truth_observations_end=2",
        "training.ground_truth_observations_steps=100",
        "training.batching.observations_count=6",
        "training.batching.observations_count_start=null",
    )

    assert ground_truth_observations(step, config.training) == count


def test_ground_truth_observations_leave_something_to_predict_while_sequences_grow() -> None:
    config = small_configuration(
        "training.ground_truth_observations_start=12",
        "training.ground_truth_observations_end=3",
        "training.ground_truth_observations_steps=1000",
        "training.batching.observations_count=8",
        "training.batching.observations_count_start=4",
        "training.batching.observations_count_steps=100",
    )

    for step in range(1, 1_200):
        count = ground_truth_observations(step, config.training)
        assert 3 <= count < observations_count(step, config.training.batching)


def test_pretraining_includes_its_last_step() -> None:
    config = training(pretraining_steps=3)

    assert [is_pretraining(step, config) for step in (1, 3, 4)] == [True, True, False]
    assert not is_pretraining(1, training(pretraining_steps=0))
