"""The configuration of an evaluation, as in `configs/evaluation/*.yaml` (docs/method.md#evaluation).

Configurations written for the authors' code load unchanged. Keys that only this project has are optional.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from utils.action_names import require_names_of_all
from utils.configuration import Batching, Configuration, DataSource
from utils.logging_configuration import RunName
from utils.sections import Section, load_sections, parse_sections
from utils.shipped import EVALUATION_CONFIGURATIONS, find_configuration

MovementName = Literal["tennis", "breakout", "published_breakout", "bair", "generic", "none"]

_PUBLISHED_EVALUATORS: dict[str, MovementName] = {
    "evaluation.dataset_evaluator": "tennis",
    "evaluation.dataset_evaluator_bair": "bair",
    "evaluation.dataset_evaluator_breakout": "published_breakout",
}


class Logging(Section):
    """The output folder of an evaluation."""

    run_name: RunName
    comments: str = ""
    output_root: str = "evaluation_results"

    @property
    def output_directory(self) -> Path:
        """The folder `<output_root>/<run_name>`."""
        return Path(self.output_root) / self.run_name


class Data(Section):
    """The frame size and the actions of the compared data."""

    target_input_size: Annotated[list[Annotated[int, Field(ge=16)]], Field(min_length=2, max_length=2)]
    """[width, height] at which frames are compared, in pixels."""
    actions_count: Annotated[int, Field(ge=2)]
    action_names: list[str] | None = None
    """What the actions are called in the report, in the order of the keys."""
    ground_truth_available: bool = False
    """Whether the reference data have true actions."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_names_of_all(self.action_names, self.actions_count)
        return self


class Evaluation(Section):
    """The tracked object and the batches of an evaluation."""

    evaluator: Literal[
        "evaluation.dataset_evaluator", "evaluation.dataset_evaluator_bair", "evaluation.dataset_evaluator_breakout"
    ] = "evaluation.dataset_evaluator"
    """The authors' name of an evaluator, which selects the tracker if `movement` is not set."""
    movement: MovementName | None = None
    """The tracker: `tennis` finds the player, `breakout` the paddle, `published_breakout` what the
    published rule takes for the paddle, `bair` reads the state from the annotations,
    `generic` follows whatever moves, `none` leaves out all results that need movement."""
    batching: Batching

    @property
    def movement_name(self) -> MovementName:
        """The name of the tracker."""
        return self.movement or _PUBLISHED_EVALUATORS[self.evaluator]


class EvaluationConfiguration(Section):
    """The configuration of an evaluation of generated sequences against their reference sequences."""

    logging: Logging
    data: Data
    reference_data: DataSource
    generated_data: DataSource
    evaluation: Evaluation


def load_evaluation_configuration(path: str | Path, overrides: list[str] | None = None) -> EvaluationConfiguration:
    """Read, override and validate an evaluation's configuration: a YAML file, or the name of a shipped one.

    Raises:
        ConfigurationError: as in `utils.configuration.load_configuration`.
    """
    return load_sections(EvaluationConfiguration, find_configuration(path, EVALUATION_CONFIGURATIONS), overrides)


def evaluation_of(config: Configuration, overrides: list[str] | None = None) -> EvaluationConfiguration:
    """Return the evaluation of what `build_evaluation_dataset.py` makes with a training configuration, overridden.

    Its tracker is `generic`, which follows whatever moves.

    Raises:
        ConfigurationError: an override cannot be used.
    """
    width, height = config.model.representation_network.target_input_size
    batching = config.evaluation.batching
    values = {
        "logging": {"run_name": config.logging.run_name},
        "data": {
            "target_input_size": [width, height],
            "actions_count": config.data.actions_count,
            "action_names": config.data.action_names,
            "ground_truth_available": config.data.ground_truth_available,
        },
        "reference_data": {
            "data_root": config.data.data_root,
            "crop": config.data.crop,
            "dataset_splits": config.data.dataset_splits,
        },
        "generated_data": {
            "data_root": str(config.logging.output_directory / "evaluation_dataset"),
            "crop": [0, 0, width, height],
        },
        "evaluation": {
            "movement": "generic",
            "batching": {
                "batch_size": batching.batch_size,
                "observations_count": batching.observations_count,
                "skip_frames": batching.skip_frames,
            },
        },
    }
    return parse_sections(EvaluationConfiguration, values, f"evaluation of {config.logging.run_name}", overrides)
