import math

import pytest
import torch
from torch import Tensor

from model.action import Gaussian
from model.perceptual import PerceptualNetwork
from tests.reference import load_arrays
from training import losses

TOLERANCE = {"cpu": 1e-5, "cuda": 1e-3}

Reference = dict[str, Tensor]


@pytest.fixture
def reference(device: torch.device) -> Reference:
    """Inputs, and the losses that the published implementation computed of them."""
    return {name: torch.as_tensor(array).to(device) for name, array in load_arrays("losses").items()}


def check(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=TOLERANCE[actual.device.type], atol=1e-7)


def gaussian(tensor: Tensor) -> Gaussian:
    mean, variance = tensor.unbind(dim=2)
    return Gaussian(mean, variance)


# Agreement with the published implementation. `kl_divergence` alone has no counterpart: it served the action
# divergence, which no published objective uses.


def test_reconstruction_agrees(reference: Reference) -> None:
    truth = reference["observations"][
        :, 1:, :3
    ]  # two stacked frames, the newest first; the first step has no prediction
    half = losses.resize_frames(truth, (8, 12))

    check(losses.reconstruction_loss(truth, reference["reconstructed"]), reference["observations_loss"])
    check(losses.reconstruction_loss(half, reference["reconstructed_half"]), reference["observations_loss_half"])


def test_states_agree(reference: Reference) -> None:
    states = reference["observations"]  # any tensor; its reconstruction was half of it

    check(losses.states_loss(states / 2, states), reference["states_loss"])


def test_entropy_agrees(reference: Reference) -> None:
    check(losses.entropy(reference["p"]), reference["entropy_probabilities"])
    check(losses.entropy(reference["logits"].softmax(dim=-1)), reference["entropy_logits"])


def test_gaussian_divergences_agree(reference: Reference) -> None:
    first, second = gaussian(reference["gaussian"]), gaussian(reference["gaussian_reference"])

    check(losses.kl_to_standard_normal(first), reference["kl_standard_normal"])
    check(losses.kl_between_action_states(first, second), reference["kl_gaussians"])


def test_mutual_information_agrees(reference: Reference) -> None:
    joint = losses.joint_action_matrix(reference["p"], reference["q"])

    check(-losses.mutual_information(joint), reference["mutual_information"])
    check(-losses.mutual_information(joint, entropy_lambda=1.5), reference["mutual_information_lambda_1_5"])


def test_smooth_mutual_information_agrees(reference: Reference, device: torch.device) -> None:
    p, q = reference["p"], reference["q"]
    estimator = losses.SmoothJointEstimator(actions_count=5, alpha=0.2).to(device)

    sequence = [
        -losses.mutual_information(estimator(losses.joint_action_matrix(*pair))) for pair in ((p, q), (q, p), (p, p))
    ]

    check(torch.stack(sequence), reference["smooth_mutual_information"])


def test_motion_weights_agree(reference: Reference) -> None:
    truth = reference["observations"][:, :, :3]
    reconstruction = torch.cat([truth[:, :1], reference["reconstructed"]], dim=1)

    check(losses.motion_weights(truth, reconstruction, bias=0.1), reference["motion_weight_mask"])


@pytest.mark.parametrize(("weighted", "half"), [(False, False), (True, False), (False, True)])
def test_perceptual_levels_agree(
    reference: Reference, perceptual_network: PerceptualNetwork, device: torch.device, weighted: bool, half: bool
) -> None:
    network = perceptual_network.to(device)
    truth, reconstruction = reference["perceptual_observations"], reference["perceptual_reconstructed"]
    weights = None
    if weighted:
        weights = losses.motion_weights(truth, torch.cat([truth[:, :1], reconstruction], dim=1), bias=0.1)[:, 1:]
    truth = truth[:, 1:]
    if half:
        truth, reconstruction = losses.resize_frames(truth, (16, 24)), reference["perceptual_reconstructed_half"]

    levels = torch.stack(
        losses.perceptual_level_losses(
            network(truth.flatten(0, 1)), network(reconstruction.flatten(0, 1)), (1, 2), weights
        )
    )

    suffix = "_weighted" if weighted else "_half" if half else ""
    check(levels.sum(), reference[f"perceptual_total{suffix}"])
    if not half:
        # The published implementation adds the other levels to the first one in place.
        check(levels[1:], reference[f"perceptual_layers{suffix}"][1:])
        check(levels.sum(), reference[f"perceptual_layers{suffix}"][0])


# By hand


def test_resizing_is_bilinear_without_antialias() -> None:
    frames = torch.tensor([0.0, 1.0, 4.0, 9.0]).reshape(1, 1, 1, 1, 4)

    assert losses.resize_frames(frames, (1, 2)).flatten().tolist() == [0.5, 6.5]
    assert losses.resize_frames(frames, (1, 1)).flatten().tolist() == [2.5]
    assert losses.resize_frames(frames, (1, 4)) is frames


def test_weighted_mean_averages_images_whatever_their_total_weight() -> None:
    values = torch.tensor([[1.0, 3.0], [5.0, 5.0]]).reshape(2, 1, 1, 1, 2).repeat(1, 1, 3, 1, 1)
    weights = torch.tensor([[3.0, 1.0], [100.0, 0.0]]).reshape(2, 1, 1, 1, 2)

    assert float(losses.weighted_mean(values, weights)) == pytest.approx((1.5 + 5) / 2)
    assert float(losses.weighted_mean(values, torch.ones_like(weights))) == float(values.mean())
    assert float(losses.weighted_mean(values, None)) == float(values.mean())


def test_an_image_without_any_weight_is_finite() -> None:
    values = torch.ones(1, 1, 3, 2, 2)

    assert float(losses.weighted_mean(values, torch.zeros(1, 1, 1, 2, 2))) == 0


def test_entropy_of_certain_and_uniform_actions() -> None:
    assert float(losses.entropy(torch.eye(3))) == 0
    assert float(losses.entropy(torch.full((2, 4), 0.25))) == pytest.approx(math.log(4))


def test_divergence_from_the_standard_normal() -> None:
    standard = Gaussian(torch.zeros(2, 3, 4), torch.ones(2, 3, 4))
    shifted = Gaussian(torch.full((2, 3, 4), 2.0), torch.ones(2, 3, 4))

    assert float(losses.kl_to_standard_normal(standard)) == 0
    assert float(losses.kl_to_standard_normal(shifted)) == pytest.approx(4 * 2**2 / 2)


def test_divergence_of_action_states_reaches_the_reconstructed_mean_alone() -> None:
    tensors = [torch.rand(2, 3, 4, requires_grad=True) for _ in range(4)]
    mean, variance, true_mean, true_variance = tensors

    losses.kl_between_action_states(Gaussian(mean, variance), Gaussian(true_mean, true_variance)).backward()

    assert mean.grad is not None
    assert all(tensor.grad is None for tensor in (variance, true_mean, true_variance))


def test_divergence_of_action_states_clamps_small_variances_after_their_logarithms() -> None:
    def state(mean: float, variance: float) -> Gaussian:
        return Gaussian(torch.full((1, 1, 1), mean), torch.full((1, 1, 1), variance))

    divergence = losses.kl_between_action_states(state(0.0, 0.01), state(0.1, 0.02))

    assert float(divergence) == pytest.approx((math.log(2) + (0.05 + 0.01) / 0.05 - 1) / 2, rel=1e-5)


def test_states_loss_reaches_the_reconstruction_alone() -> None:
    reconstructed, true = (torch.rand(2, 3, requires_grad=True) for _ in range(2))

    losses.states_loss(reconstructed, true).backward()

    assert reconstructed.grad is not None
    assert true.grad is None


def test_the_joint_of_actions_is_a_symmetric_distribution() -> None:
    torch.manual_seed(0)
    p, q = torch.rand(2, 4, 3).softmax(dim=-1), torch.rand(2, 4, 3).softmax(dim=-1)

    joint = losses.joint_action_matrix(p, q)

    expected = sum(torch.outer(a, b) for a, b in zip(p.flatten(0, 1), q.flatten(0, 1), strict=True)) / 8
    assert isinstance(expected, Tensor)
    torch.testing.assert_close(joint, (expected + expected.T) / 2)
    assert float(joint.sum()) == pytest.approx(1)


def test_mutual_information_is_the_entropy_of_actions_that_agree() -> None:
    agreeing = losses.joint_action_matrix(torch.eye(4), torch.eye(4))
    independent = torch.full((4, 4), 1 / 16)

    assert float(losses.mutual_information(agreeing)) == pytest.approx(math.log(4), abs=1e-4)
    assert float(losses.mutual_information(independent)) == pytest.approx(0, abs=1e-6)


def test_mutual_information_of_impossible_actions_has_finite_gradients() -> None:
    p = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]], requires_grad=True)

    losses.mutual_information(losses.joint_action_matrix(p, p)).backward()

    assert p.grad is not None
    assert p.grad.isfinite().all()


def test_the_running_joint_carries_no_gradient_of_the_past() -> None:
    estimator = losses.SmoothJointEstimator(actions_count=2, alpha=0.25)
    past, present = (torch.tensor([[0.5, 0.0], [0.0, 0.5]], requires_grad=True) for _ in range(2))

    first = estimator(past)
    estimator(present).sum().backward()

    torch.testing.assert_close(first.detach(), torch.tensor([[0.3125, 0.1875], [0.1875, 0.3125]]))
    assert past.grad is None
    assert present.grad is not None
    torch.testing.assert_close(present.grad, torch.full((2, 2), 0.25))
    assert list(estimator.state_dict()) == ["estimated_matrix"]


# Motion weights of one white pixel that appears in the second of three frames and stays


@pytest.fixture
def blink() -> Tensor:
    frames = torch.zeros(1, 3, 3, 5, 7)
    frames[:, 1:, :, 2, 3] = 1
    return frames


def test_motion_weights_are_the_movement_of_truth_and_reconstruction(blink: Tensor) -> None:
    still = torch.zeros_like(blink)

    of_truth = losses.motion_weights(blink, None)
    of_both = losses.motion_weights(blink, blink, bias=0.5)
    of_reconstruction = losses.motion_weights(still, blink)

    assert of_truth.shape == (1, 3, 1, 5, 7)
    assert torch.equal(of_truth[:, 0], torch.ones(1, 1, 5, 7))
    assert float(of_truth[0, 1, 0, 2, 3]) == 3
    assert float(of_truth[:, 1:].sum()) == 3
    assert float(of_both[0, 1, 0, 2, 3]) == 6.5
    assert float(of_both[0, 2].unique()) == 0.5
    assert torch.equal(of_reconstruction, of_truth)


def test_motion_weights_spread_over_a_window(blink: Tensor) -> None:
    weights = losses.motion_weights(blink, None, bias=0.1, dilation=3)

    expected = torch.full((5, 7), 0.1)
    expected[1:4, 2:5] = 3.1
    torch.testing.assert_close(weights[0, 1, 0], expected)


def test_motion_weights_are_limited_before_the_bias(blink: Tensor) -> None:
    weights = losses.motion_weights(blink, None, bias=0.25, limit=1.0)

    assert float(weights[0, 1, 0, 2, 3]) == 1.25
    assert torch.equal(weights[:, 0], torch.ones(1, 1, 5, 7))


def test_motion_weights_have_no_gradient(blink: Tensor) -> None:
    assert not losses.motion_weights(blink, blink.clone().requires_grad_()).requires_grad


def test_perceptual_losses_are_weighted_at_each_level_s_resolution() -> None:
    truth = [torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 2, 2)]
    reconstruction = [torch.rand(2, 3, 4, 4), torch.rand(2, 5, 2, 2)]
    weights = torch.zeros(2, 1, 1, 4, 4)
    weights[..., :2] = 1  # the left half alone

    levels = losses.perceptual_level_losses(truth, reconstruction, (2, 1), weights)

    assert float(levels[0]) == pytest.approx(float(reconstruction[0][..., :2].mean()))
    assert float(levels[1]) == pytest.approx(float(reconstruction[1][..., :1].mean()))


def moving_square(*corners: tuple[int, int]) -> Tensor:
    """Black frames (1, T, 3, 16, 24) with a bright square whose top left corner is at each (x, y) in turn."""
    frames = -torch.ones(1, len(corners), 3, 16, 24)
    for frame, (x, y) in zip(frames[0], corners, strict=True):
        frame[:, y : y + 4, x : x + 4] = 1
    return frames


def test_directions_that_follow_the_visible_movement_lose_nothing() -> None:
    frames = moving_square((8, 4), (12, 4), (12, 8), (8, 8), (8, 4))
    directions = 2**0.5 * torch.tensor([[[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]])

    assert losses.motion_alignment_loss(directions, frames) < 1e-10
    assert losses.motion_alignment_loss(-directions, frames).item() == pytest.approx(4)
    assert losses.motion_alignment_loss(directions[..., :1], frames) < 1e-10


def test_dimensions_beyond_the_second_are_left_free() -> None:
    frames = moving_square((8, 4), (12, 4), (12, 8))
    directions = torch.tensor([[[2**0.5, 0.0, 7.0], [0.0, 2**0.5, 7.0]]])

    assert losses.motion_alignment_loss(directions, frames) < 1e-10


def test_what_vanishes_or_appears_has_not_moved() -> None:
    moving, still = moving_square((8, 12), (12, 12), (16, 12)), moving_square((8, 12), (8, 12), (8, 12))
    for frames in (moving, still):
        frames[:, 0, :, :4, 20:] = 1  # a brick to the right, hit at once
        frames[:, 2, :, :4, :4] = 1  # another one to the left, new

    assert losses.motion_alignment_loss(torch.tensor([[[1.0, 0.0]] * 2]), moving) < 1e-10
    assert losses.motion_alignment_loss(torch.tensor([[[2.0, 0.0]] * 2]), moving).item() == pytest.approx(
        2 / 3 / 2
    )  # 32 pixels of 48
    assert losses.motion_alignment_loss(torch.ones(1, 2, 2), still) < 1e-10


def test_what_moves_behind_something_leaves_directions_free() -> None:
    frames = moving_square((14, 4), (18, 4), (22, 4))  # the frame ends at 24

    assert losses.motion_alignment_loss(torch.tensor([[[2**0.5], [5.0]]]), frames) < 1e-10


def test_a_still_video_pulls_directions_to_zero() -> None:
    directions = torch.ones(1, 2, 2, requires_grad=True)

    loss = losses.motion_alignment_loss(directions, moving_square((8, 4), (8, 4), (8, 4)))

    assert loss.item() == pytest.approx(1)
    loss.backward()
    assert directions.grad is not None
    assert directions.grad.isfinite().all()


# Cross-entropy


def logarithms(p: Tensor) -> tuple[Tensor, Tensor]:
    return p.log(), (1 - p).log()


def test_cross_entropy_is_zero_where_frames_are_the_true_ones() -> None:
    p = torch.tensor([0.0, 0.001, 0.3, 0.5, 1.0]).expand(1, 1, 3, 2, 5)

    sure = [logarithm.clamp_min(-100) for logarithm in logarithms(p)]  # -inf times 0 would be no number

    assert losses.cross_entropy(2 * p - 1, sure[0], sure[1]).item() == pytest.approx(0, abs=1e-6)


def test_cross_entropy_is_the_divergence_of_pixels() -> None:
    true, found = torch.tensor([0.0, 0.25, 1.0]), torch.tensor([0.2, 0.5, 0.6])
    divergences = [-math.log(0.8), 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5), -math.log(0.6)]
    weights = torch.tensor([3.0, 1.0, 0.0])

    def row(values: Tensor, channels: int = 3) -> Tensor:
        return values.expand(1, 1, channels, 1, 3)

    log_probability, log_complement = (row(logarithm) for logarithm in logarithms(found))

    plain = losses.cross_entropy(row(2 * true - 1), log_probability, log_complement)
    weighted = losses.cross_entropy(row(2 * true - 1), log_probability, log_complement, row(weights, channels=1))
    assert plain.item() == pytest.approx(sum(divergences) / 3)
    assert weighted.item() == pytest.approx((3 * divergences[0] + divergences[1]) / 4)


# Foreground weights of one white pixel that is there in the third of five black frames alone


@pytest.fixture
def flash() -> Tensor:
    frames = torch.zeros(1, 5, 3, 5, 7)
    frames[:, 2, 0, 2, 3] = 1
    return frames


def test_foreground_is_what_appears_and_what_has_to_go(flash: Tensor) -> None:
    weights = losses.foreground_weights(flash, None, bias=0.25)

    assert weights.shape == (1, 5, 1, 5, 7)
    assert weights[0, :, 0, 2, 3].tolist() == [0.25, 0.25, 1.25, 1.25, 0.25]
    assert (weights - 0.25).count_nonzero() == 2


def test_what_stands_still_is_no_foreground_however_bright(flash: Tensor) -> None:
    assert torch.equal(losses.foreground_weights(1 - flash, None), losses.foreground_weights(flash, None))
    assert not losses.foreground_weights(torch.ones_like(flash), None).any()


def test_wrong_pixels_of_the_reconstruction_are_foreground(flash: Tensor) -> None:
    still = torch.zeros_like(flash)

    weights = losses.foreground_weights(still, flash, reconstruction_share=0.5)
    of_both = losses.foreground_weights(flash, flash, reconstruction_share=0.5)

    assert weights[0, :, 0, 2, 3].tolist() == [0, 0, 0.5, 0, 0]
    assert torch.equal(of_both, losses.foreground_weights(flash, None))
    assert not losses.foreground_weights(still, flash, reconstruction_share=0).any()


def test_foreground_is_limited_before_the_bias(flash: Tensor) -> None:
    weights = losses.foreground_weights(flash, flash, bias=0.25, limit=0.5)

    assert weights[0, :, 0, 2, 3].tolist() == [0.25, 0.25, 0.75, 0.75, 0.25]


def test_foreground_weights_have_no_gradient(flash: Tensor) -> None:
    truth, reconstruction = (flash.clone().requires_grad_() for _ in range(2))
    assert not losses.foreground_weights(truth, reconstruction).requires_grad
