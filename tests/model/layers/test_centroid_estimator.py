import pytest
import torch

from model.layers.centroid_estimator import CentroidEstimator
from tests.reference import load_arrays, relative_error


def estimator_at(centroids: torch.Tensor, alpha: float) -> CentroidEstimator:
    estimator = CentroidEstimator(centroids.shape[0], centroids.shape[1], alpha)
    estimator.estimated_centroids.copy_(centroids)
    return estimator


def test_agrees_with_the_published_implementation(device: torch.device) -> None:
    arrays = load_arrays("centroids")
    initial, distribution, assignments = (
        torch.from_numpy(arrays[name]).to(device) for name in ("initial", "distribution", "assignments")
    )
    means = distribution[:, :, 0]
    estimator = estimator_at(initial, alpha=0.1).to(device)

    estimator.update(means, assignments)

    assert relative_error(estimator.estimated_centroids, arrays["updated"]) < 1e-6
    assert relative_error(estimator.variations(means, assignments), arrays["variations"]) < 1e-6


def test_a_centroid_moves_towards_the_weighted_mean_of_its_directions() -> None:
    estimator = estimator_at(torch.tensor([[0.0, 8.0], [4.0, 0.0]]), alpha=0.25)
    directions = torch.tensor([[[1.0, 0.0], [3.0, 4.0]]])  # two steps of one sequence
    probabilities = torch.tensor([[[0.5, 0.5], [0.5, 0.0]]])

    estimator.update(directions, probabilities)

    # Action 0 saw both directions equally, on average (2, 2); action 1 saw the first alone.
    torch.testing.assert_close(estimator.estimated_centroids, torch.tensor([[0.5, 6.5], [3.25, 0.0]]))


def test_variations_are_distances_from_the_centroids_of_the_actions_taken() -> None:
    estimator = estimator_at(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), alpha=0.1)
    directions = torch.tensor([[[3.0, 3.0], [3.0, 3.0]]])
    actions = torch.tensor([[[1.0, 0.0], [0.25, 0.75]]])

    variations = estimator.variations(directions, actions)

    torch.testing.assert_close(variations, torch.tensor([[[2.0, 3.0], [2.75, 1.5]]]))


def test_variations_pass_gradients_to_directions_and_actions() -> None:
    estimator = estimator_at(torch.tensor([[1.0, 0.0], [0.0, 2.0]]), alpha=0.1)
    directions = torch.tensor([[[3.0, 3.0]]], requires_grad=True)
    actions = torch.tensor([[[0.25, 0.75]]], requires_grad=True)

    estimator.variations(directions, actions).sum().backward()

    assert directions.grad is not None
    assert actions.grad is not None
    torch.testing.assert_close(directions.grad, torch.ones(1, 1, 2))
    torch.testing.assert_close(actions.grad, torch.tensor([[[5.0, 4.0]]]))  # sum over D of direction - centroid


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_extreme_alphas(alpha: float) -> None:
    estimator = estimator_at(torch.tensor([[1.0], [2.0]]), alpha)

    estimator.update(torch.tensor([[[5.0]]]), torch.tensor([[[0.3, 0.7]]]))

    assert estimator.estimated_centroids.tolist() == ([[1.0], [2.0]] if alpha == 0 else [[5.0], [5.0]])


def test_centroids_start_from_a_standard_normal_and_are_no_parameters() -> None:
    torch.manual_seed(0)
    estimator = CentroidEstimator(500, 20, alpha=0.1)

    assert not list(estimator.parameters())
    assert list(estimator.state_dict()) == ["estimated_centroids"]
    assert float(estimator.estimated_centroids.mean()) == pytest.approx(0, abs=0.05)
    assert float(estimator.estimated_centroids.std()) == pytest.approx(1, abs=0.05)
