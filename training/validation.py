"""Evaluation during training: held-out reconstruction and the effect of the actions (docs/method.md#during-training).

Dimensions: B batch, T observations in a sequence, K actions, D action-space dimension.
"""

import itertools
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from dataset.batching import Batch, evaluation_keys, in_batches, make_loader
from dataset.video_dataset import VideoDataset
from evaluation.breakout.probe import probe_breakout
from evaluation.metrics.action_accuracy import confusion_matrix, hungarian_accuracy, movement_accuracy
from evaluation.plots import plot_action_space, plot_action_usage, plot_per_position
from model.noise import Noise
from model.perceptual import PerceptualNetwork
from model.playable import (
    ActionSampler,
    PlayableModel,
    Rollout,
    given_actions,
    most_probable_actions,
    true_actions,
)
from training import losses
from training.held_actions import HeldActions
from utils import ranks
from utils.command import tell
from utils.configuration import Configuration
from utils.images import all_labelled, grid, overlay, tile, to_uint8, visible

NUM_PICTURED_SEQUENCES = 4
HELD_STEPS = 3
"""Number of steps for which each action is held to see what it does."""
RARELY_USED = 0.01
"""Share of the steps below which an action counts as unused."""
CONFUSED = 0.8
"""Share of the accuracy that the true movement allows below which discovered actions count as confused."""
NO_EFFECT = 0.1
"""Change of the most changed pixel, in the range [-1, 1], below which an action counts as without effect."""
MOSTLY = 0.75
"""Share of the difference between actions, outside the played region or not a movement, that is too much."""


@dataclass(frozen=True)
class EvaluationResult:
    """The results of one evaluation."""

    scalars: dict[str, float]
    images: dict[str, np.ndarray]
    """uint8 (height, width, 3) each."""
    animation: np.ndarray | None = None
    """uint8 (T, height, width, 3): truth above reconstruction, with the inferred actions; None on ranks above 0."""
    probed: dict[str, float] = field(default_factory=dict)
    """The part of `scalars` that is measured on footage of Breakout alone, by shorter names."""
    actions_in_words: str = ""
    """What each action does."""

    def summary(self) -> str:
        """The figures that matter most, in one line."""
        found = self.scalars
        parts = [f"held-out L1 {found['eval/reconstruction']:.4f}", f"actions used {found['eval/actions_used']:.0f}"]
        if "eval/action_accuracy" in found:
            parts.append(f"action accuracy {found['eval/action_accuracy']:.3f}")
            parts.append(f"most frequent action {found['eval/most_frequent_action']:.3f}")
        if "eval/movement_accuracy" in found:
            parts.append(f"bound from true movement {found['eval/movement_accuracy']:.3f}")
        parts += [f"{name} {value:.3f}" for name, value in self.probed.items()]
        return ", ".join(parts)

    @property
    def has_collapsed_actions(self) -> bool:
        """Whether fewer than two actions are in use."""
        return self.scalars["eval/actions_used"] < 2

    @property
    def has_confused_actions(self) -> bool:
        """Whether actions agree with true ones much less often than the true movement allows; false if unknown."""
        bound = self.scalars.get("eval/movement_accuracy")
        return bound is not None and self.scalars["eval/action_accuracy"] < CONFUSED * bound

    @property
    def has_ineffective_actions(self) -> bool:
        """Whether frames hardly depend on the action."""
        return self.scalars["eval/action_effect"] < NO_EFFECT

    @property
    def has_actions_outside(self) -> bool:
        """Whether most of what the actions change lies outside `data.play_region`."""
        return not self.has_ineffective_actions and self.scalars["eval/action_effect_outside"] > MOSTLY

    @property
    def has_unmoving_actions(self) -> bool:
        """Whether most of what the actions change appears or vanishes, and no two of them surely move things."""
        moves_nothing = self.scalars["eval/action_effect_unmoved"] > MOSTLY and self.scalars["eval/actions_moving"] < 2
        return not self.has_ineffective_actions and moves_nothing


class Evaluator:
    """Reconstructs held-out sequences with the most probable actions and no variations, as in play.

    A model that is trained with the true actions is evaluated with these.
    """

    def __init__(
        self,
        config: Configuration,
        dataset: VideoDataset,
        device: torch.device,
        perceptual_network: PerceptualNetwork | None = None,
    ) -> None:
        """Choose `max_evaluation_batches` batches, spread evenly over the data set.

        Args:
            config: the run's configuration.
            dataset: the validation split.
            device: where the model is.
            perceptual_network: if given, the perceptual loss is measured too.
        """
        self.config = config
        self.settings = config.evaluation
        self.dataset = dataset
        self.device = device
        self.perceptual_network = perceptual_network
        batch_size, length = self.settings.batching.batch_size, self.settings.batching.observations_count
        keys = evaluation_keys(dataset, length, self.settings.max_evaluation_batches * batch_size)
        self.knows_actions = config.data.ground_truth_available and dataset.knows_actions
        if config.data.ground_truth_available and not dataset.knows_actions:
            tell(
                "warning: data.ground_truth_available is true, but not all validation videos have true actions: action "
                "accuracy is not measured"
            )
        share = in_batches(keys, batch_size)[ranks.rank() :: ranks.num_ranks()]
        self.loader = make_loader(dataset, share, self.settings.batching.num_workers, device)

    @torch.no_grad()
    def evaluate(self, model: PlayableModel) -> EvaluationResult:
        """Measure a model; its mode and the global random state stay as they are.

        The ranks share the batches. Each rank gets the scalars of all batches; rank 0 draws the images.
        """
        was_training = model.training
        model.eval()
        generator = torch.Generator(self.device)
        measured: dict[int, _Measured] = {}
        images: dict[str, np.ndarray] = {}
        animation = None
        for index, batch in zip(itertools.count(ranks.rank(), ranks.num_ranks()), self.loader, strict=False):
            batch = batch.to(self.device)
            observations = batch.observations()
            noise = Noise(generator.manual_seed(self.config.training.seed + index))
            rollout = self._reconstruct(model, observations, self._action_sampler(batch), noise)
            held_frames = self._hold_actions(model, observations, rollout.actions, noise)
            held = HeldActions.of(held_frames, observations[:, :, :3], self.config)
            one_step = partial(self._one_step_ahead, model, observations, rollout.actions, noise)
            probed = probe_breakout(
                observations[:, :, :3],
                rollout.frames.full,
                self.settings.ground_truth_observations,
                one_step if index == 0 else None,
            )
            measured[index] = _measure(batch, observations, rollout, held, probed, self.perceptual_network)
            if index == 0:
                images = self._pictures(observations, rollout) | {"held_actions": grid(list(held_frames[:, 0]))}
                animation = self._animation(observations, rollout)
        model.train(was_training)
        found = {index: batch for share in ranks.gathered(measured) for index, batch in share.items()}
        measurements = _Measurements([found[index] for index in sorted(found)], self.knows_actions)
        if ranks.is_main():
            images |= measurements.plots(self.config, model.centroids.cpu().numpy())
        figures = measurements.probed()
        scalars = {f"eval/{name.replace(' ', '_')}": value for name, value in figures.items()}
        of_camera = self.config.training.action_directions_motion_source == "camera"
        in_words = measurements.held_actions.described(self.config.data.action_names, of_camera)
        return EvaluationResult(measurements.scalars(self.config) | scalars, images, animation, figures, in_words)

    def _action_sampler(self, batch: Batch) -> ActionSampler:
        if self.config.training.use_ground_truth_actions:
            return true_actions(batch.actions, self.config.data.actions_count)
        return most_probable_actions

    def _reconstruct(
        self, model: PlayableModel, observations: Tensor, action_sampler: ActionSampler, noise: Noise
    ) -> Rollout:
        return model(
            observations,
            self.settings.ground_truth_observations,
            action_sampler=action_sampler,
            zero_variations=True,
            noise=noise,
        )

    def _one_step_ahead(self, model: PlayableModel, observations: Tensor, actions: Tensor, noise: Noise) -> Tensor:
        """The generated frame after each true observation but the last: (B, T-1, 3, H, W)."""
        rollout: Rollout = model(
            observations,
            observations.shape[1] - 1,
            action_sampler=given_actions(actions),
            zero_variations=True,
            noise=noise,
        )
        return rollout.frames.full

    def _hold_actions(self, model: PlayableModel, observations: Tensor, actions: Tensor, noise: Noise) -> Tensor:
        """The last true frame and those that follow while each action is held: (K, B, `HELD_STEPS` + 1, 3, H, W)."""
        context = self.settings.ground_truth_observations
        length = min(observations.shape[1], context + HELD_STEPS)
        followed = []
        for action in range(actions.shape[-1]):
            taken = actions[:, : length - 1].clone()
            taken[:, context - 1 :] = functional.one_hot(torch.tensor(action), actions.shape[-1])
            rollout = self._reconstruct(model, observations[:, :length], given_actions(taken), noise)
            made = rollout.frames.full[:, context - 1 :]
            followed.append(torch.cat([observations[:, context - 1 : context, :3], made], dim=1))
        return torch.stack(followed)

    def _animation(self, observations: Tensor, rollout: Rollout) -> np.ndarray:
        """Animate truth above reconstruction, labelled with the action that leads to each generated frame."""
        true_frames = observations[:NUM_PICTURED_SEQUENCES, :, :3]
        generated = torch.cat([true_frames[:, :1], rollout.frames.full[:NUM_PICTURED_SEQUENCES]], dim=1)
        frames = to_uint8(torch.stack([true_frames, generated])).movedim(3, -1).cpu().numpy()  # (2, B, T, H, W, 3)
        actions = rollout.actions[:NUM_PICTURED_SEQUENCES].argmax(dim=-1).cpu().numpy()
        names = self.config.data.action_names or [str(action + 1) for action in range(rollout.actions.shape[-1])]
        labels = [[""] * len(actions), *([names[action] for action in step] for step in actions.T)]
        steps = zip(visible(frames).transpose(2, 0, 1, 3, 4, 5), labels, strict=True)
        return np.stack([tile(np.stack([true, all_labelled(made, row)])) for (true, made), row in steps])

    def _pictures(self, observations: Tensor, rollout: Rollout) -> dict[str, np.ndarray]:
        """Pictures of truth above reconstruction at each resolution, of the attention and of the motion weights."""
        true_frames = observations[:NUM_PICTURED_SEQUENCES, :, :3]
        pictures = {}
        for name, frames in rollout.frames.resolutions():
            truth = losses.resize_frames(true_frames, (frames.shape[-2], frames.shape[-1]))
            rows = []
            for true_row, row in zip(truth, frames[:NUM_PICTURED_SEQUENCES], strict=True):
                rows += [true_row, torch.cat([true_row[:1], row])]
            pictures[f"reconstruction_{name}"] = grid(rows)
        attention = rollout.attention[:NUM_PICTURED_SEQUENCES]
        if (region := self.config.play_region) is not None:
            attention = attention * attention.new_tensor(region.cell_shares(*attention.shape[-2:]))
        pictures["attention"] = grid([overlay(row, heat) for row, heat in zip(true_frames, attention, strict=True)])
        training = self.config.training
        motion = losses.motion_weights(
            true_frames, None, dilation=training.motion_weights_dilation, limit=training.motion_weights_limit
        )
        motion[:, 0] = 0
        motion = motion / motion.amax().clamp_min(torch.finfo(motion.dtype).eps)
        pictures["motion_weights"] = grid([overlay(row, heat) for row, heat in zip(true_frames, motion, strict=True)])
        return pictures


def _perceptual_distance(network: PerceptualNetwork, true: Tensor, made: Tensor) -> Tensor:
    """Sum over the levels of the mean absolute difference of features of frames (B, 3, H, W): (B,)."""
    levels = zip(network(true), network(made), strict=True)
    return torch.stack([(a - b).abs().mean(dim=(1, 2, 3)) for a, b in levels]).sum(dim=0)


@dataclass(frozen=True)
class _Measured:
    """The measurements of one batch, in CPU memory."""

    per_position: dict[str, Tensor]  # loss name: (B, T-1)
    arrays: dict[str, np.ndarray]  # name: (steps, ...)
    held: HeldActions
    probed: dict[str, np.ndarray]  # name: (samples,), empty for other footage than Breakout


def _measure(
    batch: Batch,
    observations: Tensor,
    rollout: Rollout,
    held: HeldActions,
    probed: dict[str, np.ndarray],
    perceptual_network: PerceptualNetwork | None,
) -> _Measured:
    frames = observations[:, 1:, :3]
    generated = rollout.frames.full
    per_position = {
        "reconstruction": (frames - generated).abs().mean(dim=(2, 3, 4)),
        "states": (rollout.states - rollout.reconstructed_states)[:, 1:].square().mean(dim=(2, 3, 4)),
    }
    if perceptual_network is not None:
        pairs = zip(frames.unbind(dim=1), generated.unbind(dim=1), strict=True)  # one position fits into memory
        distances = [_perceptual_distance(perceptual_network, true, made) for true, made in pairs]
        per_position["perceptual"] = torch.stack(distances, dim=1)
    inferred = rollout.inferred_actions
    arrays = {
        "predicted": rollout.actions.argmax(dim=-1),
        "true": batch.actions[:, :-1],
        "directions": inferred.sampled_directions,
        "action_states": inferred.sampled_action_states[:, :-1],
    }
    if batch.positions is not None:
        arrays["movements"] = batch.positions.diff(dim=1)
    return _Measured(
        per_position={name: values.cpu() for name, values in per_position.items()},
        arrays={name: values.flatten(0, 1).cpu().numpy() for name, values in arrays.items()},
        held=held,
        probed=probed,
    )


class _Measurements:
    """The measurements of all batches, in order."""

    def __init__(self, batches: list[_Measured], knows_actions: bool) -> None:
        self._batches = batches
        self._knows_actions = knows_actions
        self.held_actions = HeldActions.joined([batch.held for batch in batches])

    def scalars(self, config: Configuration) -> dict[str, float]:
        scalars = {}
        for name, curve in self._curves().items():
            scalars[f"eval/{name}"] = float(curve.mean())
            scalars |= {f"eval/{name}/{position}": float(value) for position, value in enumerate(curve, start=1)}
        predicted, true = self._gathered("predicted"), self._gathered("true")
        usage = np.bincount(predicted, minlength=config.data.actions_count) / len(predicted)
        scalars |= {f"eval/action_usage/{action}": float(share) for action, share in enumerate(usage, start=1)}
        scalars["eval/actions_used"] = float((usage > RARELY_USED).sum())
        if self._knows_actions:
            scalars["eval/action_accuracy"] = hungarian_accuracy(self._confusion(config))
            scalars["eval/most_frequent_action"] = float(np.unique(true, return_counts=True)[1].max() / len(true))
            if "movements" in self._batches[0].arrays:
                movements = self._gathered("movements")
                known = np.isfinite(movements).all(axis=1)
                scalars["eval/movement_accuracy"] = movement_accuracy(movements[known], true[known])
        return scalars | self.held_actions.scalars()

    def probed(self) -> dict[str, float]:
        names = sorted({name for batch in self._batches for name in batch.probed})
        samples = {name: [batch.probed[name] for batch in self._batches if name in batch.probed] for name in names}
        return {name: float(np.concatenate(parts).mean()) for name, parts in samples.items()}

    def plots(self, config: Configuration, centroids: np.ndarray) -> dict[str, np.ndarray]:
        return {
            "actions": plot_action_space(
                self._gathered("directions"), self._gathered("action_states"), self._gathered("predicted"), centroids
            ),
            "action_usage": plot_action_usage(self._confusion(config), np.unique(self._gathered("true")).tolist()),
            "losses": plot_per_position(self._curves()),
        }

    def _curves(self) -> dict[str, np.ndarray]:
        """The mean of each loss by position in the sequence, from the first generated frame on: (T-1,)."""
        return {
            name: torch.cat([batch.per_position[name] for batch in self._batches]).mean(dim=0).numpy()
            for name in self._batches[0].per_position
        }

    def _confusion(self, config: Configuration) -> np.ndarray:
        return confusion_matrix(self._gathered("predicted"), self._gathered("true"), config.data.actions_count)

    def _gathered(self, name: str) -> np.ndarray:
        return np.concatenate([batch.arrays[name] for batch in self._batches])
