"""Published weights of pretrained networks, downloaded on first use or placed by the user."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor, nn

from utils.command import UserError

Network = TypeVar("Network", bound=nn.Module)

_WRONG_CONTENTS = (pickle.UnpicklingError, EOFError, OSError, RuntimeError, TypeError, AttributeError, LookupError)
"""Exceptions raised by reading a file that holds no weights, or those of another network."""


@dataclass(frozen=True)
class PretrainedFile:
    """A published weights file, stored in `$TORCH_HOME/hub/checkpoints`."""

    publisher: str
    network: str
    url: str
    sha256: str
    """The checksum of the published file, or a prefix of it."""

    @property
    def path(self) -> Path:
        """Local path of the file, downloaded or placed by the user."""
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(self.url.partition("?")[0]).name

    def fetch(self, needed_for: str, alternative: str = "") -> Path:
        """Return the local path, after downloading the file and verifying its checksum if it is missing.

        Args:
            needed_for: what needs the network, for the message.
            alternative: how to do without it, appended to the message.

        Raises:
            UserError: the file is missing and cannot be downloaded.
        """
        if not self.path.exists():
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                torch.hub.download_url_to_file(self.url, str(self.path), self.sha256)
            except (OSError, HTTPException, RuntimeError) as error:
                raise UserError(
                    f"{needed_for} needs {self.publisher}'s {self.network} weights and they cannot be fetched "
                    f"({error}); put {self.url} at {self.path} (TORCH_HOME chooses the folder){alternative}"
                ) from error
        return self.path

    def load(self, build: Callable[[dict[str, Tensor]], Network], needed_for: str, alternative: str = "") -> Network:
        """Return the network that `build` makes from the weights in the file; other arguments as in `fetch`.

        Raises:
            UserError: as `fetch`, or the file is damaged.
        """
        path = self.fetch(needed_for, alternative)
        try:
            return build(torch.load(path, map_location="cpu", weights_only=True))
        except _WRONG_CONTENTS as error:
            raise self.damaged() from error

    def damaged(self) -> UserError:
        """Create the error for a file that does not hold the published weights."""
        return UserError(f"{self.path}: not intact {self.network} weights; delete the file so that it is fetched again")
