"""The whole model: encode, infer actions, roll out, imagine one step (docs/method.md#rollout).

Dimensions: B batch, T observations in a sequence, S stacked frames in an observation, K actions, D action-space
dimension, F state features, H hidden size, h x w state resolution (an eighth of the frame's height x width).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from model.action import ActionNetwork, InferredActions
from model.dynamics import DynamicsNetwork, DynamicsState
from model.layers.batch_norm import BatchNorm2d, set_momentum
from model.layers.centroid_estimator import CentroidEstimator
from model.layers.conv_lstm import FusedGates
from model.layers.convolution import conv3x3
from model.layers.gumbel_softmax import gumbel_softmax
from model.noise import Noise
from model.playable import ActionSampler, ImaginedStep, PlayableModel, Rollout
from model.recomputation import P, R, recomputed
from model.rendering import Frames, Renderer, published_renderer
from model.representation import Encoding, RepresentationNetwork
from utils.configuration import Configuration


@dataclass(frozen=True)
class Current:
    """Where B sequences are in a rollout, and what is done there."""

    observation: Tensor  # (B, 3S, height, width)
    state: Tensor  # (B, F, h, w) of this observation
    actions: Tensor  # (B, K)
    variations: Tensor  # (B, D)
    memory: DynamicsState
    disturbance: Tensor | None  # (B, 3, height, width) what is added to the frame that follows before it is fed back


@dataclass(frozen=True)
class Advance:
    """What one step of a rollout leads to."""

    hidden_state: Tensor  # (B, H, h, w)
    memory: DynamicsState
    frames: Frames | None  # (B, ...), if rendered
    observation: Tensor | None  # (B, 3S, height, width) with the new frame on top, if that drives the next step
    encoding: Encoding | None  # of this observation


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
            build_renderer: makes what shows the hidden states.
        """
        super().__init__()
        model, actions_count = config.model, config.data.actions_count
        self.action_config = model.action_network
        self.pretraining_detach = config.training.pretraining_detach
        self.pretrains_on_predictions = config.training.pretraining_frames == "predicted"
        self.fed_back_noise = config.training.fed_back_noise
        self.recomputes = config.training.activation_checkpointing
        self.decodes_jointly = config.training.joint_decoding
        features = model.representation_network.state_features
        hidden_features = model.dynamics_network.hidden_state_size
        height, width = model.representation_network.state_resolution
        dimension = self.action_config.action_space_dimension
        stacking = config.training.batching.observation_stacking
        self.stack_shape = (stacking, 8 * height, 8 * width, 3)

        self.state_to_hidden_state_layer = nn.Sequential(conv3x3(features, hidden_features, bias=True))
        self.action_network = nn.ModuleList(
            ActionNetwork(self.action_config, features, actions_count) for _ in range(self.action_config.ensamble_size)
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

        The pretraining pass decodes the true states through state-to-hidden instead of the dynamics' hidden states; or,
        if the decoder is to see nothing newer than the current frame, it is a full pass on true observations.
        """
        batch_size, num_observations = observations.shape[:2]
        if pretraining and self.pretrains_on_predictions:
            pretraining, ground_truth_observations = False, num_observations - 1
        saving = recomputed if self.recomputes and torch.is_grad_enabled() else _unchanged
        encode, advance, render = saving(self.encode), saving(self._advance), saving(self._render)
        states, attention = encode(observations)
        noise = noise or Noise()
        action_network = self._draw_action_network(noise)
        inferred = action_network(states, attention, noise)
        if self.training:
            self.centroid_estimator.update(inferred.directions.mean.detach(), inferred.probabilities.detach())
        actions = action_sampler(inferred) if action_sampler else self._sample_actions(inferred, temperature, noise)
        variations = self.centroid_estimator.variations(inferred.sampled_directions, actions)
        if zero_variations or not self.action_config.use_variations:
            variations = torch.zeros_like(variations)

        if pretraining:
            ground_truth_observations = num_observations
        driving_states = states.detach() if pretraining and self.pretraining_detach else states
        memory = self.dynamics_network.initial_state(batch_size)
        gates = self.dynamics_network.fused_gates()
        num_joined = ground_truth_observations - 1 if self.decodes_jointly else 0
        state, observation = driving_states[:, 0], observations[:, 0]
        hidden_states: list[Tensor] = []
        frames: list[Frames] = []
        generated: list[Encoding] = []
        for t in range(1, num_observations):
            is_true = t < ground_truth_observations
            disturbance = None if is_true else self._disturbance(observation, noise)
            step = advance(
                Current(observation, state, actions[:, t - 1], variations[:, t - 1], memory, disturbance),
                gates,
                renders=not pretraining and t > num_joined,
                observes=not is_true,
            )
            memory = step.memory
            hidden_states.append(step.hidden_state)
            if step.frames is not None:
                frames.append(step.frames)
            elif t == num_joined and not pretraining:
                joined = render(torch.cat(hidden_states), _merge_time(observations[:, :num_joined]), num_joined)
                frames += joined.chunk(num_joined)
            if step.observation is None or step.encoding is None:
                state, observation = driving_states[:, t], observations[:, t]
            else:
                state, observation = step.encoding.states, step.observation
                generated.append(step.encoding)

        encoded_hidden_states = None
        if pretraining:
            encoded_hidden_states = _split_time(
                self.state_to_hidden_state_layer(_merge_time(states)).to(states.dtype), batch_size
            )
            all_frames = render(_merge_time(encoded_hidden_states), _merge_time(observations))
            rendered = all_frames.map(lambda frames: _split_time(frames, batch_size))
            reconstruction = encode(_stack_frames(rendered.full, observations.shape[2] // 3))
        else:
            rendered = Frames.joined(frames, _stack_time)
            true_part = (maps[:, :ground_truth_observations].unbind(dim=1) for maps in (states, attention))
            reconstruction = Encoding(
                *(
                    _stack_time([*true, *maps])
                    for true, maps in zip(true_part, zip(*generated, strict=True), strict=True)
                )
            )
        return Rollout(
            states=states,
            attention=attention,
            inferred_actions=inferred,
            actions=actions,
            variations=variations,
            hidden_states=_stack_time(hidden_states),
            frames=rendered,
            reconstructed_states=reconstruction.states,
            reconstructed_attention=reconstruction.attention,
            reconstructed_actions=action_network(reconstruction.states, reconstruction.attention, noise),
            encoded_hidden_states=encoded_hidden_states,
        )

    def _advance(self, current: Current, gates: tuple[FusedGates, ...], renders: bool, observes: bool) -> Advance:
        """Take one step of a rollout.

        Args:
            current: where the sequences are, and the actions taken there.
            gates: the dynamics network's `fused_gates()`.
            renders: whether to render the hidden state.
            observes: whether the frame that is rendered drives the next step.
        """
        hidden_state, memory = self.dynamics_network(
            current.state, current.actions, current.variations, current.memory, gates
        )
        frames = self.rendering_network(hidden_state, current.observation) if renders else None
        if frames is None or not observes:
            return Advance(hidden_state, memory, frames, None, None)
        frame = frames.full
        if current.disturbance is not None:
            frame = (frame + current.disturbance).clamp(-1, 1)
        observation = _push_frame(current.observation, frame)
        return Advance(hidden_state, memory, frames, observation, self.representation_network(observation))

    def _render(self, hidden_states: Tensor, observations: Tensor, num_steps: int = 1) -> Frames:
        """Frames of hidden states (num_steps * B, H, h, w), normalised step by step, as `Renderer.forward`."""
        with BatchNorm2d.joined(num_steps):
            frames: Frames = self.rendering_network(hidden_states, observations)
        return frames

    def encode(self, observations: Tensor) -> Encoding:
        """States (B, T, F, h, w) and attention (B, T, 1, h, w) of observations (B, T, 3S, height, width)."""
        states, attention = self.representation_network(_merge_time(observations))
        return Encoding(_split_time(states, len(observations)), _split_time(attention, len(observations)))

    def infer_actions(self, observations: Tensor, noise: Noise | None = None) -> InferredActions:
        """As `PlayableModel.infer_actions`, by one network of the ensemble."""
        noise = noise or Noise()
        inferred: InferredActions = self._draw_action_network(noise)(*self.encode(observations), noise)
        return inferred

    def initial_state(self, batch_size: int) -> DynamicsState:
        """The learned recurrent state before the first step."""
        return self.dynamics_network.initial_state(batch_size)

    def prepare(self) -> tuple[FusedGates, ...]:
        """The dynamics network's fused gates."""
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
        hidden_state, state = self.dynamics_network(
            encoding.states, action, variation, state, prepared or self.prepare()
        )
        frame = self.rendering_network.full_frame(hidden_state, observation)
        return ImaginedStep(frame, _push_frame(observation, frame), state)

    def compilable_networks(self) -> list[nn.Module]:
        """Encoder, dynamics and decoder; the action network draws noise."""
        return [self.representation_network, self.dynamics_network, self.rendering_network]

    def _draw_action_network(self, noise: Noise) -> ActionNetwork:
        """One network of the ensemble."""
        network = self.action_network[noise.choice(len(self.action_network))]
        assert isinstance(network, ActionNetwork)
        return network

    def _disturbance(self, observation: Tensor, noise: Noise) -> Tensor | None:
        """Noise (B, 3, height, width) for a generated frame that is fed back in training, if there is to be some."""
        if not (self.training and self.fed_back_noise):
            return None
        return self.fed_back_noise * noise.normal_like(observation[:, :3])

    def _sample_actions(self, inferred: InferredActions, temperature: float, noise: Noise) -> Tensor:
        if not self.action_config.use_gumbel:
            return inferred.probabilities
        return gumbel_softmax(inferred.log_probabilities, temperature, self.action_config.hard_gumbel, noise)


def _unchanged(function: Callable[P, R]) -> Callable[P, R]:
    return function


# Tensors are time-major in memory, channels last, so that merging and splitting time move nothing.


def _merge_time(x: Tensor) -> Tensor:
    """(B, T, ...) to (T * B, ...)."""
    return x.transpose(0, 1).flatten(0, 1)


def _split_time(x: Tensor, batch_size: int) -> Tensor:
    """(T * B, ...) to (B, T, ...)."""
    return x.unflatten(0, (-1, batch_size)).transpose(0, 1)


def _stack_time(steps: Sequence[Tensor]) -> Tensor:
    """T tensors (B, ...) to (B, T, ...)."""
    return _split_time(torch.cat(list(steps)), len(steps[0]))


def _push_frame(observation: Tensor, frame: Tensor) -> Tensor:
    """The observation (B, 3S, height, width) with a new frame (B, 3, height, width) on top and the oldest dropped."""
    return torch.cat([frame, observation[:, :-3]], dim=1)


def _stack_frames(frames: Tensor, stacking: int) -> Tensor:
    """Observations (B, T, 3S, ...) of frames (B, T, 3, ...): each with its own past, the first frame repeated."""
    past = [frames]
    for _ in range(stacking - 1):
        past.append(torch.cat([past[-1][:, :1], past[-1][:, :-1]], dim=1))
    return torch.cat(past, dim=2)
