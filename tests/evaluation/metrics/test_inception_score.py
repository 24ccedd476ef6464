"""The Inception score against closed forms."""

import numpy as np
import pytest

from evaluation.metrics.inception_score import InceptionScore, Score


def score(probabilities: np.ndarray, batch_size: int = 64) -> Score:
    accumulator = InceptionScore(probabilities.shape[1])
    for start in range(0, len(probabilities), batch_size):
        accumulator.add(probabilities[start : start + batch_size])
    return accumulator.score()


def plain_score(probabilities: np.ndarray) -> float:
    divergences = (probabilities * np.log(probabilities / probabilities.mean(axis=0))).sum(axis=1)
    return float(np.exp(divergences.mean()))


def test_frames_that_are_sure_of_classes_that_are_all_as_frequent_score_the_number_of_classes() -> None:
    result = score(np.eye(7, dtype=np.float32)[np.repeat(np.arange(7), 200)])

    assert result.mean == pytest.approx(7)
    assert result.deviation == pytest.approx(0, abs=1e-9)
    assert result.num_splits == 10


@pytest.mark.parametrize("row", [np.full(5, 0.2), np.eye(5)[3], np.array([0.5, 0.2, 0.2, 0.1, 0])])
def test_frames_that_are_all_alike_score_one(row: np.ndarray) -> None:
    assert score(np.tile(row, (1000, 1))).mean == pytest.approx(1)


@pytest.mark.parametrize(("num_frames", "num_splits"), [(1, 1), (199, 1), (200, 2), (999, 9), (1000, 10), (5000, 10)])
def test_few_frames_make_fewer_splits(num_frames: int, num_splits: int) -> None:
    assert score(np.full((num_frames, 3), 1 / 3)).num_splits == num_splits


def test_one_split_holds_all_frames(random: np.random.Generator) -> None:
    probabilities = random.dirichlet(np.ones(6), 150)

    result = score(probabilities)

    assert result.mean == pytest.approx(plain_score(probabilities), rel=1e-12)
    assert result.deviation is None


@pytest.mark.parametrize(("num_frames", "dealt"), [(1007, [[s] for s in range(10)]), (250, [range(5), range(5, 10)])])
def test_splits_are_dealt_in_turn(random: np.random.Generator, num_frames: int, dealt: list[list[int]]) -> None:
    probabilities = random.dirichlet(np.ones(6), num_frames)
    expected = [plain_score(probabilities[np.isin(np.arange(num_frames) % 10, split)]) for split in dealt]

    for batch_size in (1, 33, 2000):
        result = score(probabilities, batch_size)
        assert result.mean == pytest.approx(np.mean(expected), rel=1e-12)
        assert result.deviation == pytest.approx(np.std(expected), rel=1e-9)


def test_no_frames_have_no_score() -> None:
    with pytest.raises(ValueError, match="at least 1 frame"):
        InceptionScore(3).score()
