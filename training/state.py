"""The state of training that checkpoints hold: weights, optimiser, learning rate, step, random state."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.playable import PlayableModel
from training.objective import Objective
from utils.checkpoint import LATEST, CheckpointError, load_checkpoint, load_model_weights
from utils.command import UserError, one_line
from utils.configuration import Configuration


class TrainingState:
    """A model and its optimiser after some number of steps.

    Attributes:
        step: number of optimiser updates so far.
        action_names: the names of the actions in the checkpoint that was restored, if it has any.
    """

    def __init__(self, config: Configuration, model: PlayableModel, objective: Objective) -> None:
        """Create Adam and its learning rate schedule at step 0 (docs/method.md#optimisation)."""
        self.config = config
        self.settings = config.training
        self.model = model
        self.objective = objective
        self.device = next(model.parameters()).device
        self.step = 0
        self.action_names: list[str] | None = None
        self.optimizer = torch.optim.Adam(
            model.parameters(), lr=self.settings.learning_rate, weight_decay=self.settings.weight_decay, fused=True
        )
        self.lr_scheduler = torch.optim.lr_scheduler.MultiStepLR(
            self.optimizer, self.settings.lr_schedule, self.settings.lr_gamma
        )

    @property
    def is_complete(self) -> bool:
        """Whether all steps of the configuration are done."""
        return self.step >= self.settings.max_steps

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next step."""
        return self.optimizer.param_groups[0]["lr"]

    def update(self, loss: Tensor) -> None:
        """Take one optimiser step on a scalar loss."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        self.lr_scheduler.step()
        self.step += 1

    def require_finite_weights(self) -> None:
        """Check that all weights are finite; after a finite loss with an infinite gradient they are not.

        Raises:
            UserError: a weight is infinite or NaN.
        """
        weights = self.model.state_dict()
        is_finite = torch.stack([tensor.isfinite().all() for tensor in weights.values()]).tolist()
        names = [name for name, good in zip(weights, is_finite, strict=True) if not good]
        if names:
            raise UserError(
                f"{len(names)} weights are not finite after step {self.step} ({', '.join(names[:3])}, ...); nothing of "
                "this was saved: lower training.learning_rate, then run the same command again"
            )

    def checkpoint(self) -> dict[str, Any]:
        """The contents of a checkpoint from which `resume` continues exactly, under the published keys and our own."""
        random_state = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":
            random_state[self.device.type] = torch.get_device_module(self.device).get_rng_state()
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "step": self.step,
            **self.objective.mi_estimator_state(),
            "config": self.config.model_dump(mode="json"),
            "random_state": random_state,
        }

    def resume(self, directory: Path) -> dict[str, Any] | None:
        """Restore `latest.pth.tar`, ours or the authors', if the folder has checkpoints.

        Learning rate, its schedule and weight decay are always the configuration's. A file with weights alone is
        loaded, and training starts from them at step 0.

        Returns:
            The checkpoint's `config` and `data_state`, as far as it has them; None if the folder has no checkpoints.

        Raises:
            CheckpointError: the file is incomplete, no checkpoint, of another model, or missing beside older
                checkpoints.
        """
        if not any(directory.glob("*.pth.tar")):
            return None
        path = directory / LATEST
        checkpoint = load_checkpoint(path)
        load_model_weights(self.model, checkpoint["model"], path)
        self.action_names = checkpoint.get("action_names")
        if "optimizer" in checkpoint:
            try:
                self._restore(checkpoint)
            except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
                raise CheckpointError(
                    f"{path}: its optimiser state is not of this model ({one_line(error)}); use the configuration that "
                    "it was made with, or choose another logging.run_name"
                ) from error
        return {name: checkpoint[name] for name in ("config", "data_state") if name in checkpoint}

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        self.step = int(checkpoint["step"])
        self._restore_optimizer(checkpoint["optimizer"])
        self._restore_learning_rate()
        if "mi_estimator" in checkpoint:
            self.objective.load_mi_estimator_state(checkpoint["mi_estimator"])
        for device, random_state in checkpoint.get("random_state", {}).items():
            if device in ("cpu", self.device.type):
                (torch if device == "cpu" else torch.get_device_module(device)).set_rng_state(random_state)

    def _restore_optimizer(self, saved: dict[str, Any]) -> None:
        """Restore Adam's moments.

        The authors' optimiser may list the centroids too; these come last and have no moments.
        """
        parameters = self.optimizer.param_groups[0]["params"]
        (saved_group,) = saved["param_groups"]
        keys = saved_group["params"]
        if len(keys) - len(parameters) not in (0, 1):
            raise ValueError(f"{len(keys)} parameters there and {len(parameters)} here")
        state = {
            index: {
                "step": torch.tensor(float(saved["state"][key]["step"])),
                "exp_avg": _in_layout_of(parameter, saved["state"][key]["exp_avg"]),
                "exp_avg_sq": _in_layout_of(parameter, saved["state"][key]["exp_avg_sq"]),
            }
            for index, (parameter, key) in enumerate(zip(parameters, keys, strict=False))
            if key in saved["state"]
        }
        self.optimizer.load_state_dict({"state": state, "param_groups": self.optimizer.state_dict()["param_groups"]})

    def _restore_learning_rate(self) -> None:
        learning_rate = self.settings.learning_rate
        for milestone in self.settings.lr_schedule:
            if milestone <= self.step:
                learning_rate *= self.settings.lr_gamma
        self.optimizer.param_groups[0]["lr"] = learning_rate
        passed = {"last_epoch": self.step, "_step_count": self.step + 1, "_last_lr": [learning_rate]}
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), **passed})


def _in_layout_of(parameter: Tensor, moment: Tensor) -> Tensor:
    """Copy a moment to the memory layout of its parameter, since fused Adam would mix up its elements otherwise."""
    if moment.shape != parameter.shape:
        raise ValueError(f"a moment of shape {list(moment.shape)} for a parameter of shape {list(parameter.shape)}")
    return torch.empty_like(parameter, device="cpu").copy_(moment)
