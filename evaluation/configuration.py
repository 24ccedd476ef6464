"""The configuration of an evaluation: what `configs/evaluation/*.yaml` hold (docs/method.md#evaluation).

A configuration written for the authors' code loads unchanged. Keys that only this project has are optional.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from utils.configuration import Batching, DataSource, RunName, Section, load_sections

MovementName = Literal["tennis", "breakout", "bair", "generic", "none"]

_PUBLISHED_EVALUATORS: dict[str, MovementName] = {
    "evaluation.dataset_evaluator": "tennis",
    "evaluation.dataset_evaluator_bair": "bair",
    "evaluation.dataset_evaluator_breakout": "breakout",
}


class Logging(Section):
    """Where an evaluation writes."""

    run_name: RunName
    comments: str = ""
    output_root: str = "evaluation_results"

    @property
    def output_directory(self) -> Path:
        """`evaluation_results/<run_name>`."""
        return Path(self.output_root) / self.run_name


class Data(Section):
    """The size [width, height] that frames are compared at, and what is known of the reference."""

    target_input_size: Annotated[list[Annotated[int, Field(ge=16)]], Field(min_length=2, max_length=2)]
    actions_count: Annotated[int, Field(ge=2)]
    ground_truth_available: bool = False


class Evaluation(Section):
    """What is measured.

    `evaluator`: the authors' name of one, which says what is tracked unless `movement` does: `tennis` finds the player,
    `breakout` the paddle, `bair` reads the state from the annotations, `generic` follows whatever moves, `none`
    leaves out all that needs movement.
    """

    evaluator: Literal[
        "evaluation.dataset_evaluator", "evaluation.dataset_evaluator_bair", "evaluation.dataset_evaluator_breakout"
    ] = "evaluation.dataset_evaluator"
    movement: MovementName | None = None
    batching: Batching

    @property
    def movement_name(self) -> MovementName:
        """What is tracked."""
        return self.movement or _PUBLISHED_EVALUATORS[self.evaluator]


class EvaluationConfiguration(Section):
    """An evaluation of generated sequences against the reference sequences they were generated from."""

    logging: Logging
    data: Data
    reference_data: DataSource
    generated_data: DataSource
    evaluation: Evaluation


def load_evaluation_configuration(path: str | Path, overrides: list[str] | None = None) -> EvaluationConfiguration:
    """Read, override and validate an evaluation's configuration. `ConfigurationError` as `load_configuration`."""
    return load_sections(EvaluationConfiguration, path, overrides)
