"""The training loop: optimise, report, evaluate, save (docs/method.md#optimisation)."""

import math
import os
import signal
import statistics
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from dataset.batching import Batch
from dataset.formats import TrainingData
from evaluation.plots import plot_action_space
from model.playable import true_actions
from playing.hints import ACTION_NAMES
from playing.starting_frames import STARTING_FRAMES, stored_starting_frames
from training import schedules
from training.compilation import num_compiled_graphs
from training.run_report import write_run_report
from training.state import TrainingState
from training.step import Phase, TrainingStep, UsedActions
from training.validation import EvaluationResult, Evaluator
from utils import ranks
from utils.checkpoint import LATEST, checkpoint_name, save_checkpoint
from utils.command import EXIT_DONE, EXIT_INTERRUPTED, EXIT_TERMINATED, UserError, tell
from utils.configuration import Configuration
from utils.distributed import with_shared_gradients
from utils.logger import RunLogger
from utils.sections import flatten

EXIT_CODES = {signal.SIGINT: EXIT_INTERRUPTED, signal.SIGTERM: EXIT_TERMINATED}

LOG_LINE = "{desc}: {n_fmt}/{total_fmt} steps, {rate_fmt}{postfix}, {remaining} left\n"

ADVICE = {
    "actions_collapsed": (
        "fewer than two actions are used: raise training.loss_weights.action_mutual_information_lambda, or start with "
        "model.action_network.initial_classifier_spread=1"
    ),
    "actions_confused": (
        "the discovered actions are often not the true ones, though these can be seen: train longer (raise "
        "training.max_steps and the steps of training.lr_schedule), or anew with another training.seed and another "
        "logging.run_name"
    ),
    "actions_ineffective": (
        "frames do not change with the action: train longer, set training.use_motion_weights=true if what moves is "
        "small, or lower training.loss_weights.action_mutual_information_lambda"
    ),
    "actions_outside": (
        "most of what the actions change lies outside data.play_region: choose another region, or crop the rest away "
        "with data.crop"
    ),
    "actions_unmoving": (
        "what the actions change appears or vanishes, but nothing moves: set data.play_region to what is played, or "
        "raise training.loss_weights.action_directions_motion_lambda"
    ),
}


class Trainer:
    """Trains until the last step, a signal, or an error that the user can fix."""

    def __init__(
        self,
        config: Configuration,
        state: TrainingState,
        data: TrainingData,
        evaluator: Evaluator,
        logger: RunLogger | None,
    ) -> None:
        """Prepare to train; only the rank that has the logger logs and saves."""
        self.config = config
        self.settings = config.training
        self.state = state
        self.step = with_shared_gradients(TrainingStep(state.model, state.objective), state.device)
        self.data = data
        self.evaluator = evaluator
        self.logger = logger
        self.starting_frames = torch.from_numpy(stored_starting_frames(evaluator.dataset))
        self._unread_terms: list[dict[str, Tensor]] = []  # of each step since the last report, still on the device
        self._num_symptoms = dict.fromkeys(ADVICE, 0)  # number of evaluations in a row that showed each
        self._stop_signal: signal.Signals | None = None

    def train(self) -> int:
        """Train up to `max_steps`, or until SIGINT or SIGTERM, and save a checkpoint of the last step.

        Returns:
            The exit code: done, or interrupted by one of the signals.

        Raises:
            UserError: the loss or a weight is not finite, a frame cannot be read, or a checkpoint cannot be saved.
        """
        if self.state.is_complete:  # but its last evaluation was interrupted
            self._evaluate()
            return EXIT_DONE
        self.state.model.train()
        with self._noticing_signals(), self._progress_bar() as progress:
            for batch in self._batches(progress):
                actions = self._train_step(batch)
                progress.update()
                is_stopped = ranks.any_rank(self._stop_signal is not None)
                is_last = self.state.is_complete or is_stopped
                self._after_step(actions, progress, is_last)
                if is_last:
                    break
        if self.state.is_complete:
            return EXIT_DONE
        return EXIT_CODES[self._stop_signal or signal.SIGTERM]

    def tell_differences(self, checkpoint: dict[str, Any]) -> None:
        """Print how the configuration and the data differ from those of the checkpoint that is continued."""
        if "config" in checkpoint:
            before, now = flatten(checkpoint["config"]), flatten(self.config.model_dump(mode="json"))
            changes = [
                f"{key}: {before[key]} -> {value}"
                for key, value in now.items()
                if key in before and before[key] != value
            ]
            if changes:
                tell("continuing with a changed configuration: " + ", ".join(changes))
        if checkpoint.get("data_state", self.data.state()) != self.data.state():
            tell(
                f"continuing with other data: {checkpoint['data_state']} -> {self.data.state()}; the order of "
                "sequences is not that of an uninterrupted run"
            )

    def _batches(self, progress: "tqdm[Any]") -> Iterator[Batch]:
        """Yield the remaining batches; on a read error, save, so that the run can resume once the data is fixed."""
        try:
            yield from self.data.batches(self._observations_count, self.state.step + 1, self.state.device)
        except (UserError, OSError):
            if self.state.step and ranks.num_ranks() == 1:
                self._report(progress)
                self._save()
            raise

    def _observations_count(self, step: int) -> int:
        return schedules.observations_count(step, self.settings.batching)

    def _train_step(self, batch: Batch) -> UsedActions:
        """Compute the loss of a batch, update the model, and return the actions of the step."""
        step = self.state.step + 1
        self._require_possible(batch.labels)
        batch = batch.to(self.state.device)
        phase = Phase(
            schedules.is_pretraining(step, self.settings),
            schedules.ground_truth_observations(step, self.settings),
            schedules.gumbel_temperature(step, self.settings),
        )
        sampler = None
        if self.settings.use_ground_truth_actions:
            sampler = true_actions(batch.actions, self.config.data.actions_count)
        result = self.step(batch.observations(), phase, sampler, batch.labels)
        self._unread_terms.append(result.loss.terms)
        self.state.update(result.loss.total)
        return result.actions

    def _require_possible(self, labels: Tensor | None) -> None:
        """Check that labels (B, T) are actions of the model, if they are used. `UserError` if one is not."""
        actions_count = self.config.data.actions_count
        if labels is not None and self.settings.loss_weights.need_labels and labels.max() >= actions_count:
            raise UserError(
                f"a frame has the label {int(labels.max())}, but the actions are 0 to {actions_count - 1}: raise "
                "data.actions_count, or set training.loss_weights.action_supervision_lambda to 0"
            )

    def _after_step(self, actions: UsedActions, progress: "tqdm[Any]", is_last: bool) -> None:
        """Report, plot, save and evaluate what is due after this step."""
        settings, step = self.settings, self.state.step
        is_plot_due = step % settings.action_direction_plotting_freq == 0
        is_evaluation_due = step % self.config.evaluation.eval_freq == 0 or self.state.is_complete
        is_numbered_save_due = step % settings.save_freq == 0
        is_save_due = is_evaluation_due or is_numbered_save_due or is_last
        if step % self.config.logging.log_freq == 0 or is_plot_due or is_save_due:
            self._report(progress)
        if is_plot_due:
            self._plot_actions(actions)
        if is_save_due:
            self._save(*([checkpoint_name(step)] if is_numbered_save_due else []))
        if is_evaluation_due:
            self._evaluate()

    def _report(self, progress: "tqdm[Any]") -> None:
        """Log the mean terms of the steps since the last report, which are read from the device at once.

        Raises:
            UserError: a term is not finite.
        """
        unread, self._unread_terms = self._unread_terms, []
        if not unread:
            return
        values = iter(ranks.mean(torch.stack([value for terms in unread for value in terms.values()])).tolist())
        rows = [{name: next(values) for name in terms} for terms in unread]
        for step, row in enumerate(rows, start=self.state.step - len(rows) + 1):
            if not math.isfinite(row["loss"]):
                terms = ", ".join(name for name, value in row.items() if not math.isfinite(value))
                raise UserError(
                    f"the loss of step {step} is not finite (terms: {terms}); the checkpoints in "
                    f"{self.config.logging.save_directory} are from before: lower training.learning_rate or the weight "
                    "of such a term, then run the same command again"
                )
        names = dict.fromkeys(name for row in rows for name in row)
        means = {name: statistics.fmean(row[name] for row in rows if name in row) for name in names}
        step = self.state.step
        schedule = {
            "learning_rate": self.state.learning_rate,
            "gumbel_temperature": schedules.gumbel_temperature(step, self.settings),
            "observations_count": schedules.observations_count(step, self.settings.batching),
            "ground_truth_observations": schedules.ground_truth_observations(step, self.settings),
        }
        if self.settings.compile:
            schedule["compiled_graphs"] = num_compiled_graphs()
        if self.logger:
            self.logger.log_scalars(step, {f"train/{name}": value for name, value in (means | schedule).items()})
        progress.set_postfix(loss=f"{means['loss']:.3f}", refresh=False)

    def _plot_actions(self, actions: UsedActions) -> None:
        if self.logger is None:
            return
        pixels = plot_action_space(
            directions=_points(actions.directions),
            action_states=_points(actions.action_states[:, :-1]),
            actions=_points(actions.weights.argmax(dim=-1)),
            centroids=self.state.model.centroids.cpu().numpy(),
        )
        self.logger.log_image(self.state.step, "training_actions", pixels)

    def _evaluate(self) -> None:
        step = self.state.step
        ranks.take_from_main(list(self.state.model.buffers()))
        with torch.compiler.set_stance("force_eager"):
            evaluation = self.evaluator.evaluate(self.state.model)
        if self.logger is None:
            return
        symptoms = {} if schedules.is_pretraining(step, self.settings) else self._symptoms(evaluation)
        for name, pixels in evaluation.images.items():
            self.logger.log_image(step, name, pixels)
        if evaluation.animation is not None:
            self.logger.log_animation(step, "reconstruction", evaluation.animation)
        warnings = [ADVICE[name] for name, is_ill in symptoms.items() if is_ill]
        scalars = evaluation.scalars | {f"health/{name}": value for name, value in symptoms.items()}
        write_run_report(self.config, step, evaluation, scalars, warnings)
        self.logger.log_scalars(step, scalars)  # last, since they say that this evaluation need not be repeated
        tell(f"step {step}: {evaluation.summary()}")
        tell(f"step {step}: {evaluation.actions_in_words}")
        for warning in warnings:
            tell(f"warning: {warning}")

    def _symptoms(self, evaluation: EvaluationResult) -> dict[str, bool]:
        """Whether this evaluation and the one before found each problem of `ADVICE`."""
        found = {
            "actions_collapsed": evaluation.has_collapsed_actions,
            "actions_ineffective": evaluation.has_ineffective_actions,
            "actions_confused": evaluation.has_confused_actions,
            "actions_outside": evaluation.has_actions_outside,
            "actions_unmoving": evaluation.has_unmoving_actions,
        }
        self._num_symptoms = {name: self._num_symptoms[name] + 1 if is_ill else 0 for name, is_ill in found.items()}
        return {name: number >= 2 for name, number in self._num_symptoms.items()}

    def _save(self, *other_names: str) -> None:
        """Save under other names, and as `latest.pth.tar` last, so that the others exist if a run resumes from it."""
        self.state.require_finite_weights()
        if self.logger is None:
            return
        contents = self.state.checkpoint() | {"data_state": self.data.state(), STARTING_FRAMES: self.starting_frames}
        if names := self.config.data.action_names or self.state.action_names:
            contents[ACTION_NAMES] = list(names)
        for name in (*other_names, LATEST):
            save_checkpoint(self.config.logging.save_directory / name, contents)

    def _progress_bar(self) -> "tqdm[Any]":
        """A progress bar with steps/s, loss and time left; in a log file, a line every ten seconds."""
        is_terminal = sys.stderr.isatty()
        return tqdm(
            total=self.settings.max_steps,
            initial=self.state.step,
            desc=self.config.logging.run_name,
            unit="step",
            dynamic_ncols=True,
            disable=self.logger is None,
            smoothing=0.05,
            mininterval=0.1 if is_terminal else 10,
            bar_format=None if is_terminal else LOG_LINE,
        )

    @contextmanager
    def _noticing_signals(self) -> Iterator[None]:
        """Let the first SIGINT or SIGTERM end training after the current step; a second one ends it at once."""

        def notice(number: int, _frame: FrameType | None) -> None:
            self._stop_signal = signal.Signals(number)
            restore()
            if ranks.is_main():  # print is not safe here: the signal may have interrupted another print
                os.write(1, f"\n{self._stop_signal.name}: saving after this step (again: stop at once)\n".encode())

        def restore() -> None:
            for number, handler in previous.items():
                signal.signal(number, handler)

        previous = {number: signal.getsignal(number) for number in EXIT_CODES}
        for number in previous:
            signal.signal(number, notice)
        try:
            yield
        finally:
            restore()


def _points(values: Tensor) -> np.ndarray:
    """Values (B, T, ...) as an array (B * T, ...)."""
    return values.flatten(0, 1).cpu().numpy()
