"""Behaviour of the whole model, on frames of 32x16 pixels with random weights."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from model.action import InferredActions
from model.build import build_model
from model.caddy import Caddy
from model.noise import Noise, NoNoise, SequenceNoise
from model.playable import Rollout, most_probable_actions
from tests.configurations import small_configuration

BATCH, TIME, ACTIONS, DIMENSION = 2, 5, 3, 2
HEIGHT, WIDTH = 16, 32
STACKING = (
    "training.batching.observation_stacking=3",
    "evaluation.batching.observation_stacking=3",
)


def build(*overrides: str, training: bool = False) -> Caddy:
    """A model with convolutions so strong that every input makes a visible difference."""
    torch.manual_seed(0)
    model = Caddy(small_configuration(*overrides)).train(training)
    for name, tensor in model.state_dict().items():
        if tensor.ndim == 4:
            torch.nn.init.normal_(tensor, std=2 * tensor[0].numel() ** -0.5)
        elif "initial_hidden" in name:
            torch.nn.init.normal_(tensor)
    return model


def random_observations(stacking: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(BATCH, TIME, 3 * stacking, HEIGHT, WIDTH, generator=generator) * 2 - 1


def chosen_actions(_: InferredActions) -> Tensor:
    """An action sampler that ignores what was inferred."""
    choice = torch.tensor([[0, 1, 2, 1], [2, 2, 0, 1]])
    return functional.one_hot(choice, ACTIONS).float()


def roll(model: Caddy, observations: Tensor, ground_truth_observations: int, pretraining: bool = False) -> Rollout:
    """A pass that depends on the observations that drive it and on nothing else."""
    return model(
        observations,
        ground_truth_observations,
        pretraining=pretraining,
        action_sampler=chosen_actions,
        zero_variations=True,
    )


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


def close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-4, atol=1e-4)


# Shapes


@pytest.mark.parametrize("pretraining", [False, True])
@pytest.mark.parametrize("stacking", [1, 3])
def test_shapes_of_a_rollout(pretraining: bool, stacking: int) -> None:
    model = build(*(STACKING if stacking == 3 else ()))

    rollout = model(random_observations(stacking), 2, pretraining=pretraining)

    frames = TIME if pretraining else TIME - 1
    for (_, resolution), scale in zip(rollout.frames.resolutions(), (1, 2, 4), strict=True):
        assert resolution.shape == (BATCH, frames, 3, HEIGHT // scale, WIDTH // scale)
        assert resolution.abs().max() <= 1
    for states in (rollout.states, rollout.reconstructed_states):
        assert states.shape == (BATCH, TIME, 8, 2, 4)
    for attention in (rollout.attention, rollout.reconstructed_attention):
        assert attention.shape == (BATCH, TIME, 1, 2, 4)
        assert ((attention >= 0) & (attention <= 1)).all()
    for inferred in (rollout.inferred_actions, rollout.reconstructed_actions):
        assert inferred.logits.shape == (BATCH, TIME - 1, ACTIONS)
        assert inferred.sampled_action_states.shape == (BATCH, TIME, DIMENSION)
        assert inferred.sampled_directions.shape == (BATCH, TIME - 1, DIMENSION)
        assert (inferred.directions.variance >= 0).all()
    assert rollout.actions.shape == (BATCH, TIME - 1, ACTIONS)
    assert rollout.variations.shape == (BATCH, TIME - 1, DIMENSION)
    assert rollout.hidden_states.shape == (BATCH, TIME - 1, 8, 2, 4)
    if pretraining:
        assert rollout.encoded_hidden_states is not None
        assert rollout.encoded_hidden_states.shape == (BATCH, TIME, 8, 2, 4)
    else:
        assert rollout.encoded_hidden_states is None


# Play


@pytest.mark.parametrize("stacking", [1, 3])
@torch.no_grad()
def test_steps_of_play_equal_a_rollout(stacking: int) -> None:
    model = build(*(STACKING if stacking == 3 else ()))
    observations = random_observations(stacking)
    rollout = model(observations, 1, noise=Noise(generator()))

    state, observation = model.initial_state(BATCH), observations[:, 0]
    for t in range(TIME - 1):
        step = model.step(state, observation, rollout.actions[:, t], rollout.variations[:, t])
        state, observation = step.state, step.observation
        assert close(step.frame, rollout.frames.full[:, t])
        encoding = model.encode(observation.unsqueeze(1))
        assert close(encoding.states[:, 0], rollout.reconstructed_states[:, t + 1])


@torch.no_grad()
def test_a_step_pushes_its_frame_onto_the_observation() -> None:
    observation = random_observations(3)[:, 0]

    step = build(*STACKING).step(
        build(*STACKING).initial_state(BATCH), observation, torch.eye(ACTIONS)[:BATCH], torch.zeros(BATCH, DIMENSION)
    )

    assert torch.equal(step.observation[:, :3], step.frame)
    assert torch.equal(step.observation[:, 3:], observation[:, :-3])


@torch.no_grad()
def test_the_recurrent_state_is_a_value() -> None:
    """A step changes nothing outside its result, and games in one batch do not see each other."""
    model = build()
    observation = random_observations()[:, 0]
    actions, variation = torch.eye(ACTIONS)[:BATCH], torch.zeros(BATCH, DIMENSION)
    state = model.step(model.initial_state(BATCH), observation, actions, variation).state
    copies = [maps.clone() for layer in state.layers for maps in layer]

    first, second = (model.step(state, observation, actions, variation) for _ in range(2))

    assert torch.equal(first.frame, second.frame)
    assert all(
        torch.equal(maps, copy)
        for maps, copy in zip((maps for layer in state.layers for maps in layer), copies, strict=True)
    )
    for game in range(BATCH):
        own = model.step(model.initial_state(1), observation[[game]], actions[[game]], variation[[game]]).state
        alone = model.step(own, observation[[game]], actions[[game]], variation[[game]])
        assert close(alone.frame, first.frame[[game]])


# Where the current state comes from


@torch.no_grad()
def test_only_ground_truth_observations_drive_the_dynamics() -> None:
    model, observations = build(), random_observations()
    frames = roll(model, observations, 2).frames.full

    for changed, first_difference in ((0, 0), (1, 1), (2, None), (TIME - 1, None)):
        others = observations.clone()
        others[:, changed] *= -1
        other_frames = roll(model, others, 2).frames.full
        differs = [not torch.equal(frames[:, t], other_frames[:, t]) for t in range(TIME - 1)]
        expected = [first_difference is not None and t >= first_difference for t in range(TIME - 1)]
        assert differs == expected, f"after changing observation {changed}"


@pytest.mark.parametrize("ground_truth_observations", [1, 2, TIME - 1])
@torch.no_grad()
def test_reconstructed_states_are_true_until_generated_ones_drive(ground_truth_observations: int) -> None:
    model, observations = build(), random_observations()

    rollout = roll(model, observations, ground_truth_observations)

    assert torch.equal(
        rollout.reconstructed_states[:, :ground_truth_observations], rollout.states[:, :ground_truth_observations]
    )
    encoding = model.encode(rollout.frames.full)
    generated = slice(ground_truth_observations, None)
    assert close(rollout.reconstructed_states[:, generated], encoding.states[:, ground_truth_observations - 1 :])
    assert close(rollout.reconstructed_attention[:, generated], encoding.attention[:, ground_truth_observations - 1 :])


@torch.no_grad()
def test_generated_frames_are_stacked_on_true_ones() -> None:
    model, observations = build(*STACKING), random_observations(3)

    rollout = roll(model, observations, 2)

    frames = rollout.frames.full
    third = torch.cat([frames[:, 1], observations[:, 1, :6]], dim=1)
    fourth = torch.cat([frames[:, 2], frames[:, 1], observations[:, 1, :3]], dim=1)
    encoding = model.encode(torch.stack([third, fourth], dim=1))
    assert close(rollout.reconstructed_states[:, 2:4], encoding.states)


# Pretraining


@torch.no_grad()
def test_pretraining_is_driven_by_true_states_and_decodes_encoded_ones() -> None:
    model, observations = build(), random_observations()
    full = roll(model, observations, TIME - 1)

    rollout = roll(model, observations, ground_truth_observations=1, pretraining=True)

    assert close(rollout.hidden_states, full.hidden_states)
    assert rollout.encoded_hidden_states is not None
    for t in range(TIME):
        hidden = model.state_to_hidden_state_layer(rollout.states[:, t])
        assert close(rollout.encoded_hidden_states[:, t], hidden)
        assert close(rollout.frames.full[:, t], model.rendering_network(hidden, observations[:, t]).full)


@torch.no_grad()
def test_pretraining_stacks_frames_with_their_own_past() -> None:
    model = build(*STACKING)

    rollout = roll(model, random_observations(3), 1, pretraining=True)

    frames = rollout.frames.full
    for t in range(TIME):
        stack = torch.cat([frames[:, max(0, t - age)] for age in range(3)], dim=1)
        assert close(model.encode(stack.unsqueeze(1)).states[:, 0], rollout.reconstructed_states[:, t])


@pytest.mark.parametrize("detach", [False, True])
def test_pretraining_detach_keeps_the_dynamics_from_shaping_the_encoder(detach: bool) -> None:
    model = build(f"training.pretraining_detach={detach}".lower())

    roll(model, random_observations(), 1, pretraining=True).hidden_states.square().sum().backward()

    gradients = [parameter.grad for parameter in model.representation_network.parameters()]
    assert all((gradient is None) == detach for gradient in gradients)


def test_pretraining_detach_concerns_pretraining_alone() -> None:
    model = build("training.pretraining_detach=true")

    roll(model, random_observations(), TIME - 1).hidden_states.square().sum().backward()

    assert all(parameter.grad is not None for parameter in model.representation_network.parameters())


# Actions and variations


@torch.no_grad()
def test_an_action_sampler_replaces_the_choice_of_actions() -> None:
    model, observations = build(), random_observations()

    sampled = model(observations, 1)
    most_probable = model(observations, 1, action_sampler=most_probable_actions)
    chosen = model(observations, 1, action_sampler=chosen_actions)

    assert not torch.equal(sampled.actions, sampled.actions.round())
    torch.testing.assert_close(sampled.actions.sum(dim=-1), torch.ones(BATCH, TIME - 1))
    expected = most_probable.inferred_actions.probabilities.argmax(dim=-1)
    assert torch.equal(most_probable.actions, torch.eye(ACTIONS)[expected])
    assert torch.equal(chosen.actions, chosen_actions(chosen.inferred_actions))


@torch.no_grad()
def test_actions_without_gumbel_are_the_probabilities() -> None:
    rollout = build("model.action_network.use_gumbel=false")(random_observations(), 1)

    assert torch.equal(rollout.actions, rollout.inferred_actions.probabilities)


@torch.no_grad()
def test_hard_gumbel_actions_are_one_hot() -> None:
    rollout = build("model.action_network.hard_gumbel=true")(random_observations(), 1)

    torch.testing.assert_close(rollout.actions, torch.eye(ACTIONS)[rollout.actions.argmax(dim=-1)])


@torch.no_grad()
def test_temperature_sharpens_actions() -> None:
    model, observations = build(), random_observations()

    warm, cold = (model(observations, 1, temperature, noise=Noise(generator())) for temperature in (5.0, 0.1))

    assert (cold.actions.amax(dim=-1) > warm.actions.amax(dim=-1)).all()


@torch.no_grad()
def test_variations_are_distances_to_centroids_unless_zero_is_asked_for() -> None:
    model, observations = build(), random_observations()

    rollout = model(observations, 1)
    zero = model(observations, 1, zero_variations=True)
    switched_off = build("model.action_network.use_variations=false")(observations, 1)

    centroids = model.centroid_estimator.estimated_centroids
    expected = rollout.inferred_actions.sampled_directions - rollout.actions @ centroids
    assert close(rollout.variations, expected)
    for without in (zero, switched_off):
        assert torch.equal(without.variations, torch.zeros(BATCH, TIME - 1, DIMENSION))


@torch.no_grad()
def test_directions_are_differences_of_action_states() -> None:
    inferred = build()(random_observations(), 1).inferred_actions

    means, variances = inferred.action_states.mean, inferred.action_states.variance
    assert close(inferred.directions.mean, means[:, 1:] - means[:, :-1])
    assert close(inferred.directions.variance, variances[:, 1:] + variances[:, :-1])


def test_centroids_move_in_training_and_before_they_are_used() -> None:
    training, evaluating = build(training=True), build()
    start = evaluating.centroid_estimator.estimated_centroids.clone()

    rollout = training(random_observations(), 1)
    evaluating(random_observations(), 1)

    moved = training.centroid_estimator.estimated_centroids
    assert torch.equal(evaluating.centroid_estimator.estimated_centroids, start)
    assert not torch.equal(moved, start)
    assert close(rollout.variations, rollout.inferred_actions.sampled_directions - rollout.actions @ moved)


@torch.no_grad()
def test_an_ensemble_draws_one_network_per_forward() -> None:
    model = build("model.action_network.ensamble_size=3")
    for index, network in enumerate(model.action_network):
        torch.nn.init.zeros_(network.final_fc.weight)  # type: ignore[union-attr, arg-type]
        torch.nn.init.constant_(network.final_fc.bias, index)  # type: ignore[union-attr, arg-type]
    source = generator()

    drawn = []
    for _ in range(20):
        rollout = model(random_observations()[:, :2], 1, noise=Noise(source))
        drawn.append(int(rollout.inferred_actions.logits[0, 0, 0]))
        for inferred in (rollout.inferred_actions, rollout.reconstructed_actions):
            assert torch.equal(inferred.logits, torch.full_like(inferred.logits, drawn[-1]))

    assert set(drawn) == {0, 1, 2}


# Randomness


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("pretraining", [False, True])
def test_a_generator_repeats_a_pass_and_spares_the_global_one(training: bool, pretraining: bool) -> None:
    passes = []
    for global_seed in (1, 2):
        model = build("model.action_network.ensamble_size=2", training=training)
        torch.manual_seed(global_seed)
        state = torch.get_rng_state()
        passes.append(model(random_observations(), 2, pretraining=pretraining, noise=Noise(generator())))
        assert torch.equal(torch.get_rng_state(), state)

    for read in (
        lambda rollout: rollout.frames.full,
        lambda rollout: rollout.actions,
        lambda rollout: rollout.variations,
        lambda rollout: rollout.reconstructed_actions.logits,
        lambda rollout: rollout.reconstructed_actions.sampled_action_states,
    ):
        assert torch.equal(*(read(rollout) for rollout in passes))


@torch.no_grad()
def test_without_a_generator_the_global_one_is_used() -> None:
    model, observations = build(), random_observations()

    torch.manual_seed(3)
    first, second = model(observations, 1), model(observations, 1)
    torch.manual_seed(3)
    repeated = model(observations, 1)

    assert torch.equal(first.actions, repeated.actions)
    assert not torch.equal(first.actions, second.actions)


# Settings of this project


def test_the_width_multiplier_scales_encoder_and_decoder_alone() -> None:
    full, half = (Caddy(small_configuration(f"model.width_multiplier={width}")).state_dict() for width in (1.0, 0.5))

    assert full.keys() == half.keys()
    assert full["representation_network.conv1.weight"].shape == (16, 3, 3, 3)
    assert half["representation_network.conv1.weight"].shape == (8, 3, 3, 3)
    assert full["rendering_network.final_blocks.2.conv.weight"].shape == (3, 16, 7, 7)
    assert half["rendering_network.final_blocks.2.conv.weight"].shape == (3, 8, 7, 7)
    changed = {name.split(".")[0] for name in full if full[name].shape != half[name].shape}
    assert changed == {"representation_network", "rendering_network"}


def test_any_width_multiplier_gives_a_working_model() -> None:
    rollout = build("model.width_multiplier=0.01", training=True)(random_observations(), 2)

    assert rollout.frames.full.shape == (BATCH, TIME - 1, 3, HEIGHT, WIDTH)
    assert rollout.frames.full.isfinite().all()


def test_the_initial_direction_variance_is_that_of_each_action_state() -> None:
    inferred = build("model.action_network.initial_direction_variance=0.02")(random_observations(), 1).inferred_actions

    torch.testing.assert_close(inferred.action_states.variance, torch.full((BATCH, TIME, DIMENSION), 0.02))
    torch.testing.assert_close(inferred.directions.variance, torch.full((BATCH, TIME - 1, DIMENSION), 0.04))


def test_the_initial_classifier_lays_the_actions_side_by_side() -> None:
    (network,) = build("model.action_network.initial_classifier_spread=4").action_network
    directions = torch.tensor([[-2.0, 9.0], [-1.0, 0.0], [0.1, -9.0], [1.0, 0.0], [3.0, 1.0]])

    logits = network.final_fc(directions)  # type: ignore[operator]

    assert logits.argmax(dim=-1).tolist() == [0, 0, 1, 2, 2]
    squared_distances = (directions[:, :1] - torch.tensor([-1.0, 0.0, 1.0])).square()
    torch.testing.assert_close(logits.log_softmax(dim=-1), (-4 * squared_distances).log_softmax(dim=-1))


def test_both_starts_default_to_the_published_random_ones() -> None:
    networks = [
        build(f"model.action_network.{key}=null").action_network[0]
        for key in ("initial_direction_variance", "initial_classifier_spread")
    ]

    assert all(torch.equal(*pair) for pair in zip(networks[0].parameters(), networks[1].parameters(), strict=True))
    assert networks[0].variance_fc.weight.count_nonzero() > 0  # type: ignore[union-attr, operator]


@torch.no_grad()
@pytest.mark.parametrize("noise", ["sampled", "of each sequence", "none"])
def test_actions_are_inferred_as_a_rollout_infers_them(noise: str) -> None:
    model = build("model.action_network.ensamble_size=3")

    def begin() -> Noise:
        if noise == "sampled":
            return Noise(torch.Generator().manual_seed(3))
        return NoNoise() if noise == "none" else SequenceNoise([(0, number) for number in range(BATCH)])

    inferred = model.infer_actions(random_observations(), begin())
    rollout = model(random_observations(), 2, noise=begin())

    assert torch.equal(inferred.sampled_directions, rollout.inferred_actions.sampled_directions)
    assert torch.equal(inferred.logits, rollout.inferred_actions.logits)
    assert torch.equal(inferred.most_probable, most_probable_actions(inferred).argmax(dim=-1))
    assert torch.equal(inferred.sampled_directions, inferred.directions.mean) == (noise == "none")


def test_running_statistics_take_over_the_share_that_is_set() -> None:
    observations = torch.rand(2, 4, 3, 16, 32) * 2 - 1
    means = {}
    for momentum in (0.0, 0.1, 0.5):
        torch.manual_seed(0)
        model = build_model(small_configuration(f"model.batch_norm_momentum={momentum}"))
        model.infer_actions(observations, Noise())
        means[momentum] = model.get_buffer("representation_network.bn1.running_mean")
    assert means[0.1].abs().min() > 0
    torch.testing.assert_close(means[0.5], 5 * means[0.1])
    assert torch.equal(means[0.0], torch.zeros_like(means[0.0]))


def test_pretraining_may_decode_predictions() -> None:
    model = build_model(small_configuration("training.pretraining_frames=predicted"))
    observations = torch.rand(2, 4, 3, 16, 32) * 2 - 1
    model.eval()
    noise = [Noise(torch.Generator().manual_seed(0)) for _ in range(2)]

    rollout = model(observations, 1, pretraining=True, noise=noise[0])

    assert rollout.encoded_hidden_states is None
    expected = model(observations, 3, noise=noise[1])
    torch.testing.assert_close(rollout.frames.full, expected.frames.full)


def test_generated_frames_are_disturbed_in_training_alone() -> None:
    observations = torch.rand(2, 4, 3, 16, 32) * 2 - 1

    def frames(training: bool, disturbance: float) -> torch.Tensor:
        torch.manual_seed(0)
        model = build_model(small_configuration(f"training.fed_back_noise={disturbance}")).train(training)
        rollout = model(observations, 2, noise=Noise(torch.Generator().manual_seed(0)))
        return rollout.frames.full.detach()

    assert torch.equal(frames(False, 0.5), frames(False, 0.0))
    calm, disturbed = frames(True, 0.0), frames(True, 0.5)
    assert torch.equal(disturbed[:, :2], calm[:, :2])  # the first generated frame is the second one
    assert not torch.equal(disturbed[:, 2], calm[:, 2])
