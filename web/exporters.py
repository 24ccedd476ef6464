"""What exports the models of each architecture. Another architecture has a file of its own and a line here."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from model.playable import PlayableModel
from utils.command import UserError
from utils.configuration import Configuration
from web.onnx_seeing_renderer import write_seeing_renderer
from web.onnx_step import ExportedStep, export_step, write_decoder
from web.operations import Cost, naive_cost


@dataclass(frozen=True)
class ModelExporter:
    """What there is for the models of an architecture."""

    export_step: Callable[[PlayableModel, bool], ExportedStep]
    """Writes the step of a trained model, on the CPU, as a graph; true stores weights as float16. `UserError` if one of
    them is too large for that."""
    naive_cost: Callable[[Configuration], Cost]
    """What a step costs when the modules of a model are exported as they are."""


PUBLISHED = ModelExporter(partial(export_step, write_renderer=write_decoder), naive_cost)
EXPORTERS = {
    "model.main_model.model": PUBLISHED,
    "model.reduced_model.model": PUBLISHED,
    "model.seeing_model.model": ModelExporter(partial(export_step, write_renderer=write_seeing_renderer), naive_cost),
}
"""By architecture."""


def find_exporter(config: Configuration) -> ModelExporter:
    """What exports the model of a configuration. `UserError` if nothing does."""
    name = config.model.architecture
    if name not in EXPORTERS:
        raise UserError(f"model.architecture: {name} cannot be exported, only {' or '.join(EXPORTERS)} can")
    return EXPORTERS[name]
