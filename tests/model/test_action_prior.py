"""Actions that never occur in a state are learned from those that do."""

import torch
from torch import Tensor

from model.action_prior import SHARE_REPLACED, ActionPrior, with_unseen
from model.build import build_model
from model.noise import Noise, NoNoise
from tests.configurations import small_configuration

STEPS = 2000
LEFT, STAY, RIGHT = range(3)
CENTROIDS = torch.tensor([[-1.0], [0.1], [1.0]])


def one_hot(action: int, count: int = STEPS) -> Tensor:
    return torch.nn.functional.one_hot(torch.full((1, count), action), 3).float()


def share_of(action: int, taken: Tensor) -> float:
    return float((taken.argmax(dim=-1) == action).float().mean())


def replaced(action: int, *probabilities: float) -> Tensor:
    prior = torch.tensor(probabilities).log().expand(1, STEPS, 3)
    taken = with_unseen(one_hot(action), prior, CENTROIDS, Noise(torch.Generator().manual_seed(0)))
    assert torch.equal(taken.sum(dim=-1), torch.ones(1, STEPS))
    return taken


def test_an_action_that_does_not_occur_takes_the_place_of_the_nearest() -> None:
    at_right_wall = (0.4, 0.59, 0.01)
    taken = replaced(STAY, *at_right_wall)
    assert abs(share_of(RIGHT, taken) - SHARE_REPLACED) < 0.05
    assert share_of(LEFT, taken) == 0
    assert torch.equal(replaced(LEFT, *at_right_wall), one_hot(LEFT))


def test_actions_that_occur_stay() -> None:
    for action in (LEFT, STAY, RIGHT):
        assert torch.equal(replaced(action, 0.2, 0.2, 0.6), one_hot(action))


def test_several_actions_that_do_not_occur_share_the_place() -> None:
    taken = replaced(STAY, 0.01, 0.98, 0.01)
    for action in (LEFT, RIGHT):
        assert abs(share_of(action, taken) - SHARE_REPLACED / 2) < 0.05


def test_where_only_a_far_action_occurs_it_is_the_nearest() -> None:
    taken = replaced(RIGHT, 0.01, 0.01, 0.98)
    assert share_of(LEFT, taken) > 0.2
    assert share_of(STAY, taken) > 0.2


def test_weights_of_actions_that_stay_are_not_rounded() -> None:
    soft = torch.tensor([0.3, 0.6, 0.1]).expand(1, STEPS, 3)
    prior = torch.tensor([0.4, 0.59, 0.01]).log().expand(1, STEPS, 3)
    taken = with_unseen(soft, prior, CENTROIDS, Noise(torch.Generator().manual_seed(0)))
    is_soft = taken[..., STAY] > 0
    assert torch.equal(taken[is_soft], soft[is_soft])
    assert torch.equal(taken[~is_soft], one_hot(RIGHT)[~is_soft])


def test_a_prior_learns_what_occurs_and_leaves_the_states_alone() -> None:
    torch.manual_seed(0)
    prior = ActionPrior(4, (2, 3), 3)
    states = torch.randn(64, 5, 4, 2, 3, requires_grad=True)
    actions = torch.where(states.detach()[:, :-1, 0, 0, 0] > 0, STAY, LEFT)  # never right
    optimizer = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        logits = prior(states)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), actions.flatten()).backward()
        optimizer.step()
    assert states.grad is None
    assert logits.shape == (64, 4, 3)
    assert float((logits.argmax(dim=-1) == actions).float().mean()) > 0.95
    assert float(logits.detach().softmax(dim=-1)[..., RIGHT].max()) < 0.05


def test_a_model_tries_actions_that_do_not_occur_in_training_alone() -> None:
    torch.manual_seed(0)
    model = build_model(small_configuration("training.loss_weights.action_prior_lambda=1"))
    observations = torch.rand(2, 6, 3, 16, 32) * 2 - 1

    def taken(training: bool, favoured: int) -> Tensor:
        model.train(training)
        with torch.no_grad():
            model.get_parameter("action_prior.linear.weight").zero_()
            model.get_parameter("action_prior.linear.bias").copy_(10 * one_hot(favoured, 1)[0, 0])
            rollout = model(observations, 5, noise=Noise(torch.Generator().manual_seed(0)))
        assert (rollout.prior_logits is not None) == training
        return rollout.actions.argmax(dim=-1)

    inferred = taken(training=False, favoured=STAY)
    everywhere = int(inferred.flatten().mode().values)
    assert not torch.equal(taken(training=True, favoured=everywhere), inferred)
    assert torch.equal(taken(training=False, favoured=everywhere), inferred)


def test_without_its_weight_a_model_has_no_prior() -> None:
    model = build_model(small_configuration()).train()
    assert not [name for name in model.state_dict() if "action_prior" in name]
    assert model(torch.zeros(2, 4, 3, 16, 32), 3, noise=NoNoise()).prior_logits is None
