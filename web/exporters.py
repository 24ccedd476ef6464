"""Exporters by architecture.

A new architecture needs a file of its own and a line here.
"""

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
    """The functions that export the models of an architecture."""

    export_step: Callable[[PlayableModel, bool], ExportedStep]
    """Exports the step of a trained model on the CPU; true stores weights as float16, with a `UserError` if one is too
    large for that."""
    naive_cost: Callable[[Configuration], Cost]
    """Returns the cost of a step if the modules of a model are exported without optimisation."""


PUBLISHED = ModelExporter(partial(export_step, write_renderer=write_decoder), naive_cost)
EXPORTERS = {
    "model.main_model.model": PUBLISHED,
    "model.reduced_model.model": PUBLISHED,
    "model.seeing_model.model": ModelExporter(partial(export_step, write_renderer=write_seeing_renderer), naive_cost),
}
"""Exporters by architecture."""


def find_exporter(config: Configuration) -> ModelExporter:
    """Return the exporter for the model of a configuration.

    Raises:
        UserError: the architecture cannot be exported.
    """
    name = config.model.architecture
    if name not in EXPORTERS:
        raise UserError(f"model.architecture: {name} cannot be exported, only {' or '.join(EXPORTERS)} can")
    return EXPORTERS[name]
