"""The section `logging` of a configuration, and what the names of runs may be."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError, model_validator

from utils.sections import PositiveInt, Section

MAX_RUN_NAME_BYTES = 200
"""File systems take 255, and some files are named after it with more."""


def _require_short(name: str) -> str:
    if len(name.encode()) > MAX_RUN_NAME_BYTES:
        raise ValueError(f"is longer than {MAX_RUN_NAME_BYTES} bytes")
    return name


RunName = Annotated[str, Field(pattern=r"^[\w][\w.-]*$"), AfterValidator(_require_short)]
"""A name that files and folders can have anywhere: letters of any language, digits, `_`, `-` and `.`."""


def is_run_name(text: str) -> bool:
    """Whether a configuration takes a text as `logging.run_name`."""
    try:
        TypeAdapter(RunName).validate_python(text)
    except ValidationError:
        return False
    return True


class Logging(Section):
    """Where a run writes, and how often and to which trackers beside its own files it reports.

    An older configuration may have `wandb` in place of `trackers`: true for [wandb], false for none.
    """

    run_name: RunName
    output_root: str = "results"
    save_root: str = "checkpoints"
    trackers: list[Literal["wandb", "tensorboard"]] = Field(default=["wandb"])
    log_freq: PositiveInt = 10

    @model_validator(mode="before")
    @classmethod
    def _read_wandb(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "wandb" not in values:
            return values
        if not isinstance(values["wandb"], bool):
            raise ValueError("wandb is true or false; write trackers: [wandb] or [] in place of it")
        others = {key: value for key, value in values.items() if key != "wandb"}
        return {"trackers": ["wandb"] if values["wandb"] else [], **others}

    @property
    def output_directory(self) -> Path:
        """`results/<run_name>`."""
        return Path(self.output_root) / self.run_name

    @property
    def save_directory(self) -> Path:
        """`checkpoints/<run_name>`."""
        return Path(self.save_root) / self.run_name
