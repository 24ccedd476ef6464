"""Configurations that tests share."""

from pathlib import Path

from utils.configuration import Configuration, load_configuration

FIXTURES = Path(__file__).parent / "fixtures"

AUTHORS_CONFIGURATIONS = {path.stem: path for path in sorted((FIXTURES / "authors_configurations").glob("*.yaml"))}
"""The three published configurations, with the authors' keys only."""

SMALL = (
    "model.width_multiplier=0.25",
    "model.representation_network.target_input_size=[32, 16]",
    "model.representation_network.state_features=8",
    "model.representation_network.state_resolution=[2, 4]",
    "model.dynamics_network.hidden_state_size=8",
    "model.action_network.action_space_dimension=2",
    "training.loss_weights.perceptual_loss_lambda=0",
    "training.loss_weights.perceptual_loss_lambda_pretraining=0",
)

SEEING = (
    "model.architecture=model.seeing_model.model",
    "model.rendering_network.reach=2",
    "training.batching.observation_stacking=2",
    "evaluation.batching.observation_stacking=2",
    "training.pretraining_frames=predicted",
    "training.fed_back_noise=0.1",
    "training.loss_weights.cross_entropy_lambda=1",
    "training.loss_weights.painting_lambda=0.1",
    "training.loss_weights.action_prior_lambda=1",
    "training.loss_weights.cross_entropy_lambda_pretraining=1",
)

MODELS: dict[str, tuple[str, ...]] = {"published": (), "seeing": SEEING}
"""What makes a configuration one of each kind of model."""


def arguments_of(overrides: tuple[str, ...]) -> list[str]:
    """Overrides as arguments of a command."""
    return [argument for override in overrides for argument in ("--set", override)]


def published_configuration(name: str, *overrides: str) -> Configuration:
    """`01_bair`, `02_breakout` or `03_tennis`, with `section.key=value` overrides."""
    return load_configuration(AUTHORS_CONFIGURATIONS[name], list(overrides))


def small_configuration(*overrides: str) -> Configuration:
    """A model of three actions on frames of 32x16 pixels that computes in milliseconds."""
    return published_configuration("02_breakout", *SMALL, *overrides)
