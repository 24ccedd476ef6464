"""A training run: its parts are built in the order in which the user's mistakes are found soonest."""

from contextlib import ExitStack, closing

import torch

from dataset.folders import TrainingVideos
from dataset.formats import require_known_actions
from dataset.open import open_split, open_training_data, require_splits
from model.build import build_model
from model.layers.batch_norm import synchronize_batch_norms
from model.perceptual import PerceptualNetwork, load_perceptual_network
from training.compilation import compile_networks, explaining_failed_compilation, resolve_auto
from training.objective import Objective
from training.run_report import REPORT
from training.state import TrainingState
from training.trainer import Trainer
from training.validation import Evaluator
from utils import ranks
from utils.checkpoint import LATEST
from utils.command import EXIT_DONE, UserError, tell
from utils.configuration import Configuration
from utils.device import allow_tf32, explaining_lack_of_memory, flush_denormals
from utils.distributed import all_ranks, require_divisible
from utils.files import only_process, require_writable
from utils.logger import IMAGES, METRICS, RunLogger, has_evaluation
from utils.trackers import require_trackers

SMALLEST_PERCEPTUAL_SIDE = 64
"""Pixels: VGG19 halves frames four times, and the lowest resolution it sees is a quarter of the full one."""


def train(config: Configuration, device_name: str) -> int:
    """Train a run, or continue it from its latest checkpoint.

    Nothing is written before everything that the run needs has been checked.

    Args:
        config: the run's configuration.
        device_name: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        The exit code: done, or interrupted by a signal after saving.

    Raises:
        UserError: something is missing, damaged, invalid or not finite.
    """
    flush_denormals()
    with all_ranks(device_name) as device:
        return _train_on(device, resolve_auto(config, device))


def _train_on(device: torch.device, config: Configuration) -> int:
    """Check that nothing is missing, train, print where the results are, and return the exit code."""
    output_directory, save_directory = config.logging.output_directory, config.logging.save_directory
    require_writable(output_directory, "choose another logging.output_root")
    require_writable(save_directory, "choose another logging.save_root")
    require_trackers(config)
    require_divisible(config.training.batching.batch_size)
    require_splits(config.data, ("train", "val"))
    perceptual_network = _perceptual_network(config)
    with explaining_lack_of_memory(device), explaining_failed_compilation():
        code, step = _train(config, device, perceptual_network)
    print(f"images      {output_directory / IMAGES}")
    print(f"log         {output_directory / METRICS}")
    print(f"report      {output_directory / REPORT}")
    print(f"checkpoint  {save_directory / LATEST} (step {step})")
    return code


def _train(
    config: Configuration, device: torch.device, perceptual_network: PerceptualNetwork | None
) -> tuple[int, int]:
    """Build the run and train; return the exit code and the last step."""
    torch.manual_seed(config.training.seed)
    model = build_model(config).to(device)
    if config.training.sync_batchnorm:
        synchronize_batch_norms(model)
    allow_tf32(config.training.precision != "fp32")
    objective = Objective(config, perceptual_network).to(device)
    objective.require_terms(model)
    if config.training.compile:
        compile_networks(model, objective, device)
    state = TrainingState(config, model, objective)
    continued = state.resume(config.logging.save_directory)
    if state.is_complete and has_evaluation(config.logging.output_directory / METRICS, state.step):
        tell(f"{config.logging.run_name}: training is complete, {state.step} of {config.training.max_steps} steps")
        return EXIT_DONE, state.step

    evaluator = Evaluator(config, open_split(config, "val", config.evaluation.batching), device, perceptual_network)
    data = open_training_data(config)
    if config.training.use_ground_truth_actions:
        for split in (evaluator.dataset, data):
            require_known_actions(split, config.data.actions_count)
    if isinstance(data, TrainingVideos) and data.dataset.labels is None and config.training.loss_weights.need_labels:
        raise UserError(
            f"training.loss_weights.action_supervision_lambda: no frame of the training videos of "
            f"{config.data.data_root} has a label; label some, or set it to 0"
        )
    with ExitStack() as stack:
        logger = None
        if ranks.is_main():
            stack.enter_context(only_process(config.logging.save_directory, "logging.run_name"))
        ranks.wait_for_all()
        state.resume(config.logging.save_directory)  # again: another process may have trained until now
        if ranks.is_main():
            logger = stack.enter_context(closing(RunLogger(config, state.step)))
        trainer = Trainer(config, state, data, evaluator, logger)
        if continued is not None:
            tell(f"continuing {config.logging.run_name} after step {state.step} of {config.training.max_steps}")
            trainer.tell_differences(continued)
        return trainer.train(), state.step


def _perceptual_network(config: Configuration) -> PerceptualNetwork | None:
    """Return the network of the perceptual loss; None if the loss has no weight.

    Raises:
        UserError: the network cannot be loaded, or frames are too small for it.
    """
    if not config.training.loss_weights.need_perceptual_network:
        return None
    side = min(config.model.representation_network.target_input_size)
    if side < SMALLEST_PERCEPTUAL_SIDE:
        raise UserError(
            f"model.representation_network.target_input_size: the perceptual loss needs sides of at least "
            f"{SMALLEST_PERCEPTUAL_SIDE}, not {side}; enlarge it, or train without the loss: set "
            "training.loss_weights.perceptual_loss_lambda and perceptual_loss_lambda_pretraining to 0"
        )
    return load_perceptual_network()
