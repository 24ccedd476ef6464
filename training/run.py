"""A training run: everything it is made of, built in the order in which mistakes are cheapest to find."""

from contextlib import ExitStack, closing

import torch

from dataset.formats import require_known_actions
from dataset.open import open_split, open_training_data, require_splits
from model.build import build_model
from model.layers.batch_norm import synchronize_batch_norms
from model.perceptual import PerceptualNetwork, load_perceptual_network
from training.compilation import compile_networks, explaining_failed_compilation, resolve_auto
from training.objective import Objective
from training.state import TrainingState
from training.trainer import Trainer
from training.validation import Evaluator
from utils import ranks
from utils.checkpoint import LATEST
from utils.command import EXIT_DONE, UserError, tell
from utils.configuration import Configuration
from utils.device import allow_tf32, explaining_lack_of_memory
from utils.distributed import all_ranks, require_divisible
from utils.files import only_process, require_writable
from utils.logger import IMAGES, METRICS, RunLogger, has_evaluation

SMALLEST_PERCEPTUAL_SIDE = 64
"""Pixels: VGG19 halves frames four times, and the smallest it sees are a quarter of the size."""


def train(config: Configuration, device_name: str) -> int:
    """Train as a configuration says, or go on where its checkpoint stands.

    Nothing is written before everything that a run needs was found in order.

    Args:
        config: the run's configuration.
        device_name: `auto`, `cpu`, `cuda` or `mps`.

    Returns:
        The exit code: done, or interrupted by a signal after saving.

    Raises:
        UserError: something is missing, damaged, impossible or not finite.
    """
    with all_ranks(device_name) as device:
        return _train_on(device, resolve_auto(config, device))


def _train_on(device: torch.device, config: Configuration) -> int:
    """Check that nothing is missing, train, and say where the results are; the exit code."""
    output_directory, save_directory = config.logging.output_directory, config.logging.save_directory
    require_writable(output_directory, "choose another logging.output_root")
    require_writable(save_directory, "choose another logging.save_root")
    require_divisible(config.training.batching.batch_size)
    require_splits(config.data, ("train", "val"))
    perceptual_network = _perceptual_network(config)
    with explaining_lack_of_memory(device), explaining_failed_compilation():
        code, step = _train(config, device, perceptual_network)
    print(f"images      {output_directory / IMAGES}")
    print(f"log         {output_directory / METRICS}")
    print(f"checkpoint  {save_directory / LATEST} (step {step})")
    return code


def _train(
    config: Configuration, device: torch.device, perceptual_network: PerceptualNetwork | None
) -> tuple[int, int]:
    """Build the run and train; the exit code, and the step that was reached."""
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
    with ExitStack() as stack:
        logger = None
        if ranks.is_main():
            stack.enter_context(only_process(config.logging.save_directory, "logging.run_name"))
            logger = stack.enter_context(closing(RunLogger(config)))
        ranks.wait_for_all()
        state.resume(config.logging.save_directory)  # once more: another process may have been at work until now
        trainer = Trainer(config, state, data, evaluator, logger)
        if continued is not None:
            tell(f"continuing {config.logging.run_name} after step {state.step} of {config.training.max_steps}")
            trainer.tell_differences(continued)
        return trainer.train(), state.step


def _perceptual_network(config: Configuration) -> PerceptualNetwork | None:
    """The network of the perceptual loss, if that has a weight."""
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
