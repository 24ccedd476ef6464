"""The whole model: encoding, action inference, rollout, and one-step prediction (docs/method.md#rollout).

Dimensions: B batch, T observations in a sequence, S stacked frames in an observation, K actions, D action-space
dimension, F state features, H hidden size, h x w state resolution (an eighth of the frame's height x width).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from model.action import ActionNetwork, InferredActions
from model.action_prior import ActionPrior, with_unseen
from model.dynamics import DynamicsNetwork, DynamicsState
from model.layers.batch_norm import set_momentum
from model.layers.centroid_estimator import CentroidEstimator
from model.layers.conv_lstm import FusedGates
from model.layers.convolution import conv3x3
from model.layers.gumbel_softmax import gumbel_softmax
from model.noise import Noise
from model.playable import ActionSampler, ImaginedStep, PlayableModel, Rollout
from model.recomputation import recomputed
from model.rendering import Frames, Renderer, published_renderer
from model.representation import Encoding, RepresentationNetwork
from utils.configuration import Configuration


@dataclass(frozen=True)
class StepInput:
    """Inputs of one rollout step."""

    observation: Tensor  # (B, 3S, height, width)
    state: Tensor  # (B, F, h, w) of this observation
    action: Tensor  # (B, K)
    variation: Tensor  # (B, D)
    memory: DynamicsState


class StepOutput(NamedTuple):
    """Outputs of one rollout step."""

    hidden_state: Tensor  # (B, H, h, w)
    memory: DynamicsState
    frames: Frames  # (B, ...)


@dataclass(frozen=True)
class Given:
    """Results of encoding and action inference, from which the dynamics are run."""

    observations: Tensor  # (B, T, 3S, height, width), all true
    encoding: Encoding  # (B, T, ...) of these
    inferred: InferredActions
    prior_logits: Tensor | None  # (B, T-1, K)
    actions: Tensor  # (B, T-1, K)
    variations: Tensor  # (B, T-1, D)

    def step(self, t: int, observation: Tensor, state: Tensor, memory: DynamicsState) -> StepInput:
        """Return the inputs of the step from observation t to t + 1."""
        return StepInput(observation, state, self.actions[:, t], self.variations[:, t], memory)


@dataclass(frozen=True)
class Reconstruction:
    """Results of the dynamics and the decoder; R reconstructed frames per sequence, T-1 or T."""

    hidden_states: Tensor  # (B, T-1, H, h, w) from the dynamics network
    frames: Frames  # (B, R, ...)
    encoding: Encoding  # (B, T, ...) of the reconstructed observations, true ones where none were generated
    encoded_hidden_states: Tensor | None = None  # (B, T, H, h, w) from state-to-hidden


class Caddy(PlayableModel):
    """Clustering for Action Decomposition and DiscoverY (Menapace et al., CVPR 2021).

    Parameter names and shapes are those of published checkpoints.
    """

    def __init__(
        self, config: Configuration, build_renderer: Callable[[Configuration], Renderer] = published_renderer
    ) -> None:
        """Create the networks with random weights.

        Args:
            config: the run's configuration.
            build_renderer: builds the decoder.
        """
        super().__init__()
        model, actions_count = config.model, config.data.actions_count
        self.action_config = model.action_network
        self.pretraining_detach = config.training.pretraining_detach
        self.pretrains_on_predictions = config.training.pretraining_frames == "predicted"
        self.fed_back_noise = config.training.fed_back_noise
        self.recomputes = config.training.activation_checkpointing
        features = model.representation_network.state_features
        hidden_features = model.dynamics_network.hidden_state_size
        height, width = model.representation_network.state_resolution
        dimension = self.action_config.action_space_dimension
        stacking = config.training.batching.observation_stacking
        self.stack_shape = (stacking, 8 * height, 8 * width, 3)

        self.state_to_hidden_state_layer = nn.Sequential(conv3x3(features, hidden_features, bias=True))
        region = config.play_region
        shares = None if region is None else torch.tensor(region.cell_shares(height, width))
        self.action_network = nn.ModuleList(
            ActionNetwork(self.action_config, features, actions_count, shares)
            for _ in range(self.action_config.ensamble_size)
        )
        self.dynamics_network = DynamicsNetwork(
            features,
            hidden_features,
            actions_count + dimension,
            (height, width),
            model.dynamics_network.first_steps_statistics,
        )
        self.representation_network = RepresentationNetwork(3 * stacking, features, model.width_multiplier)
        self.rendering_network = build_renderer(config)
        self.gives_log_probabilities = self.rendering_network.gives_log_probabilities
        self.keeps_pixels = self.rendering_network.keeps_pixels
        self.action_prior: ActionPrior | None = None
        self.has_action_prior = config.training.loss_weights.need_action_prior
        if self.has_action_prior:
            self.action_prior = ActionPrior(features, (height, width), actions_count)
        self.centroid_estimator = CentroidEstimator(actions_count, dimension, model.centroid_estimator.alpha)
        set_momentum(self, model.batch_norm_momentum)
        self.to(memory_format=torch.channels_last)

    @property
    def centroids(self) -> Tensor:
        """As `PlayableModel.centroids`."""
        return self.centroid_estimator.estimated_centroids

    def forward(
        self,
        observations: Tensor,
        ground_truth_observations: int,
        temperature: float = 1.0,
        pretraining: bool = False,
        action_sampler: ActionSampler | None = None,
        zero_variations: bool = False,
        noise: Noise | None = None,
    ) -> Rollout:
        """As `PlayableModel.forward`.

        With `pretraining_frames: predicted` the pretraining pass is a full pass on true observations.
        """
        if pretraining and self.pretrains_on_predictions:
            pretraining, ground_truth_observations = False, observations.shape[1] - 1
        noise = noise or Noise()
        action_network = self._draw_action_network(noise)
        given = self._infer(observations, action_network, temperature, action_sampler, zero_variations, noise)
        made = self._pretrain(given) if pretraining else self._roll_out(given, ground_truth_observations, noise)
        return Rollout(
            states=given.encoding.states,
            attention=given.encoding.attention,
            inferred_actions=given.inferred,
            prior_logits=given.prior_logits,
            actions=given.actions,
            variations=given.variations,
            hidden_states=made.hidden_states,
            frames=made.frames,
            reconstructed_states=made.encoding.states,
            reconstructed_attention=made.encoding.attention,
            reconstructed_actions=action_network(*made.encoding, noise),
            encoded_hidden_states=made.encoded_hidden_states,
        )

    def _infer(
        self,
        observations: Tensor,
        action_network: ActionNetwork,
        temperature: float,
        action_sampler: ActionSampler | None,
        zero_variations: bool,
        noise: Noise,
    ) -> Given:
        """Encode the true observations, infer the actions between them, and choose the actions for the dynamics."""
        encoding = self.encode(observations)
        inferred: InferredActions = action_network(*encoding, noise)
        if self.training:
            self.centroid_estimator.update(inferred.directions.mean.detach(), inferred.probabilities.detach())
        prior = self.action_prior(encoding.states) if self.action_prior and self.training else None
        if action_sampler:
            actions = action_sampler(inferred)
        else:
            actions = self._sample_actions(inferred, temperature, noise)
            if prior is not None:
                actions = with_unseen(actions, prior.detach(), self.centroids, noise)
        variations = self.centroid_estimator.variations(inferred.sampled_directions, actions)
        if zero_variations or not self.action_config.use_variations:
            variations = torch.zeros_like(variations)
        return Given(observations, encoding, inferred, prior, actions, variations)

    def _roll_out(self, given: Given, ground_truth_observations: int, noise: Noise) -> Reconstruction:
        """Full pass: every step renders a frame, which drives the next step once the true observations are used up."""
        step = recomputed(self._step, self, self.recomputes)
        encode = recomputed(self.representation_network, self, self.recomputes)
        gates = self.prepare()
        memory = self.initial_state(len(given.observations))
        observation, state = given.observations[:, 0], given.encoding.states[:, 0]
        taken: list[StepOutput] = []
        generated: list[Encoding] = []
        for t in range(1, given.observations.shape[1]):
            taken.append(step(given.step(t - 1, observation, state, memory), gates, self.rendering_network))
            memory = taken[-1].memory
            if t < ground_truth_observations:
                observation, state = given.observations[:, t], given.encoding.states[:, t]
            else:
                observation = _push_frame(observation, self._disturbed(taken[-1].frames.full, noise))
                generated.append(encode(observation))
                state = generated[-1].states
        true = (maps[:, :ground_truth_observations].unbind(dim=1) for maps in given.encoding)
        maps = (_stack_time([*first, *later]) for first, later in zip(true, zip(*generated, strict=True), strict=True))
        return Reconstruction(
            hidden_states=_stack_time([output.hidden_state for output in taken]),
            frames=Frames.joined([output.frames for output in taken], _stack_time),
            encoding=Encoding(*maps),
        )

    def _pretrain(self, given: Given) -> Reconstruction:
        """Pretraining pass: the dynamics run on true states, and frames are decoded from these via state-to-hidden."""
        batch_size, num_observations, channels = given.observations.shape[:3]
        states = given.encoding.states
        driving_states = states.detach() if self.pretraining_detach else states
        dynamics = recomputed(self.dynamics_network, self, self.recomputes)
        gates = self.prepare()
        memory = self.initial_state(batch_size)
        hidden_states: list[Tensor] = []
        for t in range(num_observations - 1):
            hidden_state, memory = dynamics(
                driving_states[:, t], given.actions[:, t], given.variations[:, t], memory, gates
            )
            hidden_states.append(hidden_state)

        encoded = self.state_to_hidden_state_layer(_merge_time(states)).to(states.dtype)
        shown = recomputed(self.rendering_network, self, self.recomputes)(encoded, _merge_time(given.observations))
        frames = shown.map(lambda frames: _split_time(frames, batch_size))
        return Reconstruction(
            hidden_states=_stack_time(hidden_states),
            frames=frames,
            encoding=self.encode(_stack_frames(frames.full, channels // 3)),
            encoded_hidden_states=_split_time(encoded, batch_size),
        )

    def _step(
        self, given: StepInput, gates: tuple[FusedGates, ...], render: Callable[[Tensor, Tensor], Frames]
    ) -> StepOutput:
        """Run the dynamics and the decoder for one step, in training and in play.

        Args:
            given: the inputs of the step.
            gates: the dynamics network's `fused_gates()`.
            render: decodes hidden states (B, H, h, w), given the observations before, as `Renderer.forward`.
        """
        hidden_state, memory = self.dynamics_network(given.state, given.action, given.variation, given.memory, gates)
        return StepOutput(hidden_state, memory, render(hidden_state, given.observation))

    def encode(self, observations: Tensor) -> Encoding:
        """Encode observations (B, T, 3S, height, width): states (B, T, F, h, w) and attention (B, T, 1, h, w)."""
        encode = recomputed(self.representation_network, self, self.recomputes)
        states, attention = encode(_merge_time(observations))
        return Encoding(_split_time(states, len(observations)), _split_time(attention, len(observations)))

    def infer_actions(self, observations: Tensor, noise: Noise) -> InferredActions:
        """As `PlayableModel.infer_actions`, with one network of the ensemble."""
        inferred: InferredActions = self._draw_action_network(noise)(*self.encode(observations), noise)
        return inferred

    def initial_state(self, batch_size: int) -> DynamicsState:
        """Return the learned recurrent state before the first step."""
        return self.dynamics_network.initial_state(batch_size)

    def prepare(self) -> tuple[FusedGates, ...]:
        """Return the dynamics network's fused gates."""
        return self.dynamics_network.fused_gates()

    def step(
        self,
        state: DynamicsState,
        observation: Tensor,
        action: Tensor,
        variation: Tensor,
        prepared: tuple[FusedGates, ...] | None = None,
    ) -> ImaginedStep:
        """As `PlayableModel.step`."""
        encoding = self.representation_network(observation)
        taken = self._step(
            StepInput(observation, encoding.states, action, variation, state),
            prepared or self.prepare(),
            lambda *shown: Frames(self.rendering_network.full_frame(*shown)),
        )
        frame = taken.frames.full
        return ImaginedStep(frame, _push_frame(observation, frame), taken.memory)

    def compilable_networks(self) -> list[nn.Module]:
        """Return encoder, dynamics and decoder; the action network draws noise."""
        return [self.representation_network, self.dynamics_network, self.rendering_network]

    def _draw_action_network(self, noise: Noise) -> ActionNetwork:
        """Draw one action network of the ensemble."""
        network = self.action_network[noise.choice(len(self.action_network))]
        assert isinstance(network, ActionNetwork)
        return network

    def _disturbed(self, frame: Tensor, noise: Noise) -> Tensor:
        """Add `training.fed_back_noise` to a generated frame (B, 3, height, width), in training mode only."""
        if not (self.training and self.fed_back_noise):
            return frame
        return (frame + self.fed_back_noise * noise.normal_like(frame)).clamp(-1, 1)

    def _sample_actions(self, inferred: InferredActions, temperature: float, noise: Noise) -> Tensor:
        if not self.action_config.use_gumbel:
            return inferred.probabilities
        return gumbel_softmax(inferred.log_probabilities, temperature, self.action_config.hard_gumbel, noise)


# Tensors are time-major in memory, channels last, so that merging and splitting time copy nothing.


def _merge_time(x: Tensor) -> Tensor:
    """Merge time into the batch: (B, T, ...) to (T * B, ...)."""
    return x.transpose(0, 1).flatten(0, 1)


def _split_time(x: Tensor, batch_size: int) -> Tensor:
    """Split time from the batch: (T * B, ...) to (B, T, ...)."""
    return x.unflatten(0, (-1, batch_size)).transpose(0, 1)


def _stack_time(steps: Sequence[Tensor]) -> Tensor:
    """Stack T tensors (B, ...) into (B, T, ...)."""
    return _split_time(torch.cat(list(steps)), len(steps[0]))


def _push_frame(observation: Tensor, frame: Tensor) -> Tensor:
    """Put a new frame (B, 3, height, width) on top of an observation (B, 3S, height, width) and drop the oldest."""
    return torch.cat([frame, observation[:, :-3]], dim=1)


def _stack_frames(frames: Tensor, stacking: int) -> Tensor:
    """Stack frames (B, T, 3, ...) into observations (B, T, 3S, ...), repeating the first frame before the start."""
    past = [frames]
    for _ in range(stacking - 1):
        past.append(torch.cat([past[-1][:, :1], past[-1][:, :-1]], dim=1))
    return torch.cat(past, dim=2)
