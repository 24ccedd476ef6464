import pytest
import torch

from model.action import ActionNetwork, Gaussian
from model.build import build_model
from model.noise import Noise, NoNoise
from tests.configurations import small_configuration
from training.objective import Objective
from training.state import TrainingState
from training.step import Phase, TrainingStep
from utils.sections import ConfigurationError


def test_samples_have_the_mean_and_variance_of_the_gaussian() -> None:
    mean, variance = torch.tensor([1.0, -2.0]), torch.tensor([0.25, 9.0])

    noise = Noise(torch.Generator().manual_seed(0))
    samples = Gaussian(mean.expand(40_000, 2), variance.expand(40_000, 2)).sample(noise)

    torch.testing.assert_close(samples.mean(dim=0), mean, rtol=0, atol=0.06)
    torch.testing.assert_close(samples.var(dim=0), variance, rtol=0.04, atol=0)


def test_without_variance_samples_are_the_mean() -> None:
    mean = torch.rand(3, 4)

    assert torch.equal(Gaussian(mean, torch.zeros_like(mean)).sample(), mean)


def test_gradients_pass_through_samples_to_mean_and_variance() -> None:
    mean, variance = torch.zeros(5, requires_grad=True), torch.full((5,), 4.0, requires_grad=True)

    samples = Gaussian(mean, variance).sample()
    gradients = torch.autograd.grad(samples.sum(), (mean, variance))

    torch.testing.assert_close(gradients[0], torch.ones(5))
    torch.testing.assert_close(gradients[1], samples.detach() / 2 / (2 * 4.0**0.5))  # noise / (2 standard deviations)


def test_a_detached_gaussian_has_no_gradient() -> None:
    detached = Gaussian(torch.zeros(2, requires_grad=True), torch.ones(2, requires_grad=True)).detach()

    assert not detached.mean.requires_grad
    assert not detached.variance.requires_grad


@pytest.fixture
def network() -> ActionNetwork:
    torch.manual_seed(0)
    return ActionNetwork(small_configuration().model.action_network, state_features=8, actions_count=3).eval()


@torch.no_grad()
def test_what_attention_hides_is_not_seen(network: ActionNetwork) -> None:
    states, attention = torch.rand(2, 3, 8, 4, 4), torch.ones(2, 3, 1, 4, 4)
    attention[..., 2:] = 0
    others = states.clone()
    others[..., 2:] += 5

    means = network(states, attention).action_states.mean

    assert torch.equal(means, network(others, attention).action_states.mean)
    assert not torch.equal(means, network(others, torch.ones_like(attention)).action_states.mean)


@torch.no_grad()
def test_logits_are_linear_in_the_sampled_directions(network: ActionNetwork) -> None:
    inferred = network(torch.rand(2, 3, 8, 4, 4), torch.ones(2, 3, 1, 4, 4))

    torch.testing.assert_close(inferred.logits, network.final_fc(inferred.sampled_directions))
    torch.testing.assert_close(inferred.probabilities, inferred.logits.softmax(dim=-1))
    torch.testing.assert_close(inferred.log_probabilities.exp(), inferred.probabilities)


@torch.no_grad()
def test_each_observation_has_an_action_state_of_its_own(network: ActionNetwork) -> None:
    states, attention = torch.rand(2, 3, 8, 4, 4), torch.rand(2, 3, 1, 4, 4)

    together = network(states, attention).action_states

    for t in range(3):
        alone = network(states[:, [t]], attention[:, [t]]).action_states
        torch.testing.assert_close(together.mean[:, [t]], alone.mean)
        torch.testing.assert_close(together.variance[:, [t]], alone.variance)


FIXED = {
    "final_fc": ("initial_classifier_spread=6.0", "fixed_classifier=true"),
    "variance_fc": ("initial_direction_variance=0.005", "fixed_variance=true"),
}


@pytest.mark.parametrize("head", FIXED)
def test_a_fixed_head_stays_as_it_began(head: str) -> None:
    config = small_configuration(*(f"model.action_network.{override}" for override in FIXED[head]))
    step = TrainingStep(build_model(config), Objective(config))
    state = TrainingState(config, step.model, step.objective)
    network = step.model.get_submodule("action_network.0")
    before = {name: weight.clone() for name, weight in network.state_dict().items()}

    state.update(step(torch.rand(2, 4, 3, 16, 32) * 2 - 1, Phase(False, 2, 1.0)).loss.total)

    after = network.state_dict()
    assert all(torch.equal(after[f"{head}.{name}"], before[f"{head}.{name}"]) for name in ("weight", "bias"))
    assert not torch.equal(after["mean_fc.weight"], before["mean_fc.weight"])


def test_a_spread_classifier_tells_actions_along_the_first_axis() -> None:
    config = small_configuration(*(f"model.action_network.{override}" for override in FIXED["final_fc"]))
    middles = torch.tensor([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]])
    classifier = build_model(config).get_submodule("action_network.0.final_fc")

    assert classifier(middles).argmax(dim=-1).tolist() == [0, 1, 2]


def test_the_classifier_tells_actions_along_a_turned_axis() -> None:
    overrides = (*FIXED["final_fc"], "initial_classifier_angle=90")
    config = small_configuration(*(f"model.action_network.{override}" for override in overrides))
    classifier = build_model(config).get_submodule("action_network.0.final_fc")
    middles = torch.tensor([[9.0, -1.0], [-9.0, 0.0], [5.0, 1.0]])
    assert classifier(middles).argmax(dim=-1).tolist() == [0, 1, 2]


def test_a_ring_has_one_action_in_the_middle_and_the_others_around_it() -> None:
    overrides = (*FIXED["final_fc"], "initial_classifier_layout=ring", "initial_classifier_angle=90")
    config = small_configuration(
        *(f"model.action_network.{override}" for override in overrides), "data.actions_count=5"
    )
    classifier = build_model(config).get_submodule("action_network.0.final_fc")
    around = torch.tensor([[0.1, -0.1], [0.0, 1.0], [-1.0, 0.1], [0.1, -0.8], [0.9, 0.0]])
    assert classifier(around).argmax(dim=-1).tolist() == [0, 1, 2, 3, 4]


def test_only_a_spread_classifier_can_be_a_ring() -> None:
    with pytest.raises(
        ConfigurationError, match="initial_classifier_layout: ring is how initial_classifier_spread lays"
    ):
        small_configuration("model.action_network.initial_classifier_layout=ring")


def test_only_a_spread_classifier_can_be_turned() -> None:
    with pytest.raises(ConfigurationError, match="initial_classifier_angle turns what initial_classifier_spread lays"):
        small_configuration("model.action_network.initial_classifier_angle=90")


@pytest.mark.parametrize(
    ("key", "start"),
    [("fixed_classifier", "initial_classifier_spread"), ("fixed_variance", "initial_direction_variance")],
)
def test_only_what_starts_somewhere_can_be_fixed(key: str, start: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"{key} keeps {start}, which is not set: set it to"):
        small_configuration(f"model.action_network.{key}=true")


@torch.no_grad()
def test_what_lies_outside_of_the_region_is_not_seen() -> None:
    torch.manual_seed(0)
    config = small_configuration("data.play_region=[0, 0, 80, 208]")
    model = build_model(config)
    network = model.action_network[0].eval()  # type: ignore[index,union-attr]
    assert network.region.tolist() == [[1, 1, 0, 0]] * 2
    assert "action_network.0.region" not in model.state_dict()
    states, attention = torch.rand(2, 3, 8, 2, 4), torch.rand(2, 3, 1, 2, 4)
    outside, inside = states.clone(), states.clone()
    outside[..., 2:] += 5
    inside[..., :2] += 5
    means = network(states, attention).action_states.mean
    assert torch.equal(network(outside, attention).action_states.mean, means)
    assert not torch.equal(network(inside, attention).action_states.mean, means)


@torch.no_grad()
def test_the_whole_frame_as_region_changes_nothing() -> None:
    inferred = []
    observations = torch.rand(1, 3, 3, 16, 32)
    for region in ("null", "[0, 0, 160, 208]"):
        torch.manual_seed(0)
        model = build_model(small_configuration(f"data.play_region={region}")).eval()
        inferred.append(model.infer_actions(observations, NoNoise()).logits)
    assert torch.equal(*inferred)
