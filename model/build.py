"""Construction of models from configurations: the only place where models are built.

Another architecture is a `model.playable.PlayableModel`, or a part of one, in a file of its own, with a line in the
table here and its name in `utils.model_configuration.ARCHITECTURES`.
"""

from collections.abc import Callable
from functools import partial

from model.caddy import Caddy
from model.playable import PlayableModel
from model.seeing_rendering import seeing_renderer
from utils.command import UserError
from utils.configuration import Configuration

Builder = Callable[[Configuration], PlayableModel]
"""Builds a model with globally seeded random weights, in training mode on the default device."""

BUILDERS: dict[str, Builder] = {
    "model.main_model.model": Caddy,
    "model.reduced_model.model": Caddy,
    "model.seeing_model.model": partial(Caddy, build_renderer=seeing_renderer),
}
"""Builder for each value of `model.architecture`."""


def build_model(config: Configuration) -> PlayableModel:
    """Build the model that a configuration selects.

    Raises:
        UserError: there is no architecture of that name.
    """
    name = config.model.architecture
    if name not in BUILDERS:
        raise UserError(f"model.architecture: must be {' or '.join(map(repr, BUILDERS))}, not {name!r}")
    return BUILDERS[name](config)
