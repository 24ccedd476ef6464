"""The training loop: optimise, schedule, log, evaluate, checkpoint (SPEC section 3)."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from dataset.batching import Batch, TrainingSampler, make_loader
from dataset.video_dataset import VideoDataset
from evaluation.evaluator import Evaluation, Evaluator
from evaluation.plots import plot_action_space
from model.caddy import ActionSampler, Caddy, Rollout
from training import schedules
from training.objective import Loss, Objective
from utils.checkpoint import (
    LATEST,
    CheckpointError,
    load_checkpoint,
    load_model_weights,
    newest_intact_checkpoint,
    numbered_checkpoint,
    save_checkpoint,
)
from utils.command import EXIT_DONE, EXIT_INTERRUPTED, EXIT_TERMINATED, UserError
from utils.configuration import Configuration, flatten
from utils.logger import RunLogger

EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_TERMINATED}


class Trainer:
    """Trains one model, and resumes exactly where its last checkpoint stands."""

    def __init__(
        self,
        config: Configuration,
        model: Caddy,
        objective: Objective,
        dataset: VideoDataset,
        evaluator: Evaluator,
        logger: RunLogger,
    ) -> None:
        self.config = config
        self.settings = config.training
        self.model = model
        self.objective = objective
        self.dataset = dataset
        self.evaluator = evaluator
        self.logger = logger
        self.device = next(model.parameters()).device
        self.step = 0  # optimiser updates done
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay, fused=True
        )
        self.lr_scheduler = torch.optim.lr_scheduler.MultiStepLR(
            self.optimizer, self.settings.lr_schedule, self.settings.lr_gamma
        )
        self._term_names: list[str] = []
        self._unread_terms: list[Tensor] = []  # of each step since the last report, left on the device
        self._symptoms: dict[str, int] = {}  # how many evaluations in a row showed each
        self._stop_signal: int | None = None

    def train(self) -> int:
        """Train up to `max_steps`, or until SIGINT or SIGTERM, and leave a checkpoint of the last step.

        Returns:
            The exit code: done, or interrupted by one of the signals.

        Raises:
            UserError: the loss is not finite, or a frame cannot be read.
        """
        if self.step >= self.settings.max_steps:
            return EXIT_DONE
        sampler = TrainingSampler(
            self.dataset,
            self.settings.batching.batch_size,
            lambda step: schedules.observations_count(step, self.settings.batching),
            self.settings.seed,
            first_step=self.step + 1,
        )
        loader = make_loader(self.dataset, sampler, self.settings.batching.num_workers, self.device)
        self.model.train()
        with self._noticing_signals(), self._progress_bar() as progress:
            for batch in loader:
                loss, rollout = self.compute_loss(batch)
                self.optimise(loss)
                progress.update()
                self._after_step(rollout, progress)
                if self._stop_signal is not None:
                    self._save_latest()
                    return EXIT_CODES[signal.Signals(self._stop_signal)]
                if self.step == self.settings.max_steps:
                    break
        self._save_latest()
        return EXIT_DONE

    def compute_loss(self, batch: Batch) -> tuple[Loss, Rollout]:
        """Begin the next step: roll the model out over a batch and weigh the terms of the objective."""
        self.step += 1
        batch = batch.to(self.device)
        observations = batch.observations()
        pretraining = schedules.is_pretraining(self.step, self.settings)
        rollout = self.model(
            observations,
            schedules.ground_truth_observations(self.step, self.settings),
            schedules.gumbel_temperature(self.step, self.settings),
            pretraining,
            action_sampler=self._true_actions(batch) if self.settings.use_ground_truth_actions else None,
        )
        loss = self.objective(rollout, observations[:, :, :3], pretraining)
        self._term_names = list(loss.terms)
        self._unread_terms.append(torch.stack(list(loss.terms.values())))
        return loss, rollout

    def _true_actions(self, batch: Batch) -> ActionSampler:
        """An action sampler that takes the actions of the data set, as one-hot weights."""
        actions_count = self.config.data.actions_count
        if batch.actions.max() >= actions_count:
            raise UserError(
                f"training.use_ground_truth_actions: the data set has an action {int(batch.actions.max())}, but "
                f"data.actions_count is {actions_count}; raise it to cover all true actions"
            )
        actions = functional.one_hot(batch.actions[:, :-1], actions_count).to(torch.float32)
        return lambda _: actions

    def optimise(self, loss: Loss) -> None:
        """Finish the step: one update of the parameters and of the learning rate."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.total.backward()
        self.optimizer.step()
        self.lr_scheduler.step()

    def resume(self) -> bool:
        """Continue from `latest.pth.tar` if the run has one; return whether it has.

        Raises:
            CheckpointError: the file is torn, foreign or of another model, or is missing beside older checkpoints.
        """
        directory = self.config.logging.save_directory
        path = directory / LATEST
        if not path.exists():
            if other := newest_intact_checkpoint(directory):
                raise CheckpointError(
                    f"{path}: missing, though this run has been trained before; copy {other} to it to go on from "
                    "there, or choose another logging.run_name"
                )
            return False
        checkpoint = load_checkpoint(path)
        load_model_weights(self.model, checkpoint["model"], path)
        try:
            self._restore_optimisation(checkpoint)
        except (KeyError, ValueError, TypeError, RuntimeError) as error:
            raise CheckpointError(f"{path}: its optimiser state does not fit this model ({error})") from error
        self._tell_differences(checkpoint)
        return True

    def _restore_optimisation(self, checkpoint: dict[str, Any]) -> None:
        """Take over everything but the weights; learning rate and its schedule are the configuration's."""
        if "optimizer" not in checkpoint:
            return  # bare weights: training starts from them at step 0
        (group,) = self.optimizer.param_groups
        saved = checkpoint["optimizer"]
        (saved_group,) = saved["param_groups"]
        indices = saved_group["params"]
        if len(indices) == len(group["params"]) + 1:  # the authors' optimiser also lists the centroids, last, unmoved
            indices = indices[:-1]
        own_settings = {name: group[name] for name in ("weight_decay", "fused")}
        self.optimizer.load_state_dict({**saved, "param_groups": [{**saved_group, **own_settings, "params": indices}]})

        schedule = self.lr_scheduler.state_dict()
        saved_schedule = checkpoint["lr_scheduler"]
        own_schedule = {name: schedule[name] for name in ("milestones", "gamma", "base_lrs")}
        self.lr_scheduler.load_state_dict({**saved_schedule, **own_schedule})
        (group,) = self.optimizer.param_groups
        group["lr"] *= self.settings.learning_rate / saved_schedule["base_lrs"][0]
        group["initial_lr"] = self.settings.learning_rate

        self.step = int(checkpoint["step"])
        if "mi_estimator" in checkpoint:
            self.objective.load_mi_estimator_state(checkpoint["mi_estimator"])
        if "random_state" in checkpoint:
            torch.set_rng_state(checkpoint["random_state"]["cpu"])
            if self.device.type == "cuda" and "cuda" in checkpoint["random_state"]:
                torch.cuda.set_rng_state(checkpoint["random_state"]["cuda"], self.device)

    def _tell_differences(self, checkpoint: dict[str, Any]) -> None:
        """Say where the configuration and the data are not those of the checkpoint."""
        if "config" in checkpoint:
            before, now = flatten(checkpoint["config"]), flatten(self.config.model_dump(mode="json"))
            changes = [f"{key}: {before.get(key)} -> {value}" for key, value in now.items() if before.get(key) != value]
            if changes:
                self.logger.tell("resuming with a changed configuration: " + ", ".join(changes))
        if checkpoint.get("data_state", self._data_state()) != self._data_state():
            self.logger.tell(
                f"resuming with other data: {checkpoint['data_state']} -> {self._data_state()}; the order of sequences "
                "is not that of an uninterrupted run"
            )

    def _after_step(self, rollout: Rollout, progress: "tqdm[Any]") -> None:
        """Report, plot, evaluate and save what is due after this step."""
        settings, step = self.settings, self.step
        is_last = step == settings.max_steps
        is_evaluation_due = step % self.config.evaluation.eval_freq == 0 or is_last
        is_numbered_save_due = step % settings.save_freq == 0
        if step % self.config.logging.log_freq == 0 or is_evaluation_due or is_numbered_save_due or self._stop_signal:
            self._report(progress)
        if step % settings.action_direction_plotting_freq == 0:
            self.logger.log_image(step, "training_actions", self._plot_actions(rollout))
        if is_evaluation_due:
            self._evaluate()
        if is_evaluation_due or is_numbered_save_due:
            self._save_latest()
        if is_numbered_save_due:
            self._save(numbered_checkpoint(self.config.logging.save_directory, step).name)

    def _report(self, progress: "tqdm[Any]") -> None:
        """Read the terms of all steps since the last report from the device, at once, and log their means.

        Raises:
            UserError: a term is not finite.
        """
        rows = torch.stack(self._unread_terms).cpu()
        first_step = self.step - len(rows) + 1
        self._unread_terms.clear()
        is_finite = rows.isfinite()
        if not is_finite.all():
            row = int((~is_finite.all(dim=1)).nonzero()[0])
            terms = [name for name, good in zip(self._term_names, is_finite[row], strict=True) if not good]
            raise UserError(
                f"the loss is not finite since step {first_step + row} (terms: {', '.join(terms)}); the checkpoints in "
                f"{self.config.logging.save_directory} are from before: lower training.learning_rate or the weight of "
                "that term, then run the same command again"
            )
        means = dict(zip(self._term_names, rows.mean(dim=0).tolist(), strict=True))
        scalars = {f"train/{name}": value for name, value in means.items()}
        scalars["train/learning_rate"] = self.optimizer.param_groups[0]["lr"]
        scalars["train/gumbel_temperature"] = schedules.gumbel_temperature(self.step, self.settings)
        scalars["train/observations_count"] = schedules.observations_count(self.step, self.settings.batching)
        self.logger.log_scalars(self.step, scalars)
        progress.set_postfix(loss=f"{means['loss']:.3f}", refresh=False)

    def _plot_actions(self, rollout: Rollout) -> np.ndarray:
        inferred = rollout.inferred_actions
        points = (inferred.sampled_directions, inferred.sampled_action_states[:, :-1], rollout.actions.argmax(dim=-1))
        arrays = [tensor.detach().flatten(0, 1).cpu().numpy() for tensor in points]
        return plot_action_space(*arrays, self.model.centroid_estimator.estimated_centroids.cpu().numpy())

    def _evaluate(self) -> None:
        evaluation = self.evaluator.evaluate(self.model)
        self.logger.log_scalars(self.step, evaluation.scalars)
        for name, pixels in evaluation.images.items():
            self.logger.log_image(self.step, name, pixels)
        self.logger.tell(f"step {self.step}: {evaluation.summary()}")
        if not schedules.is_pretraining(self.step, self.settings):
            self._warn_of_collapse(evaluation)

    def _warn_of_collapse(self, evaluation: Evaluation) -> None:
        """Warn where two evaluations in a row found the actions unused or without effect."""
        symptoms = {
            "collapsed": (
                evaluation.has_collapsed_actions,
                "fewer than two actions are used: raise training.loss_weights.action_mutual_information_lambda, or "
                "start with model.action_network.initial_classifier_spread=1",
            ),
            "ineffective": (
                evaluation.has_ineffective_actions,
                "frames do not change with the action: train longer, use motion weights if what moves is small "
                "(training.use_motion_weights=true), or lower the mutual-information weight",
            ),
        }
        for name, (is_present, advice) in symptoms.items():
            self._symptoms[name] = self._symptoms.get(name, 0) + 1 if is_present else 0
            if self._symptoms[name] >= 2:
                self.logger.tell(f"warning: {advice}")
                self.logger.log_scalars(self.step, {f"health/actions_{name}": 1.0})

    def _save_latest(self) -> None:
        self._save(LATEST)

    def _save(self, name: str) -> None:
        random_state = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            random_state["cuda"] = torch.cuda.get_rng_state(self.device)
        save_checkpoint(
            self.config.logging.save_directory / name,
            {
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "lr_scheduler": self.lr_scheduler.state_dict(),
                "step": self.step,
                **self.objective.mi_estimator_state(),
                "config": self.config.model_dump(mode="json"),
                "random_state": random_state,
                "data_state": self._data_state(),
            },
        )

    def _data_state(self) -> dict[str, int]:
        """What, with the step, decides which sequences come next."""
        return {
            "seed": self.settings.seed,
            "batch_size": self.settings.batching.batch_size,
            "num_videos": len(self.dataset.videos),
            "num_frames": self.dataset.num_frames,
        }

    def _progress_bar(self) -> "tqdm[Any]":
        return tqdm(
            total=self.settings.max_steps,
            initial=self.step,
            desc=self.config.logging.run_name,
            unit="step",
            dynamic_ncols=True,
            smoothing=0.05,
        )

    @contextmanager
    def _noticing_signals(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM end training after the present step, and a second one at once."""

        def notice(number: int, _frame: FrameType | None) -> None:
            if self._stop_signal is not None:
                raise KeyboardInterrupt
            self._stop_signal = number
            self.logger.tell(f"{signal.Signals(number).name}: saving after this step (again: stop at once)")

        previous = {number: signal.signal(number, notice) for number in EXIT_CODES}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
