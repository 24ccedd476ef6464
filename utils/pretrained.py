"""Published weights of networks: fetched on first use, or put in their place by the user."""

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
"""What reading a file raises that holds no weights, or those of another network."""


@dataclass(frozen=True)
class PretrainedFile:
    """A published file of a network's weights, kept in `$TORCH_HOME/hub/checkpoints`."""

    publisher: str
    network: str
    url: str
    sha256: str
    """The checksum of the published file, or how it begins."""

    @property
    def path(self) -> Path:
        """Where the file is, fetched or put there by the user."""
        return Path(torch.hub.get_dir()) / "checkpoints" / Path(self.url.partition("?")[0]).name

    def fetch(self, needed_for: str, alternative: str = "") -> Path:
        """The file, which is downloaded and held against its checksum if it is not there.

        Args:
            needed_for: what cannot be had without the network.
            alternative: how to do without it, which ends the message.

        Raises:
            UserError: the file is neither there nor to be had.
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
        """The network that `build` makes from the weights in the file, with arguments as `fetch`.

        Raises:
            UserError: as `fetch`, or the file is damaged.
        """
        path = self.fetch(needed_for, alternative)
        try:
            return build(torch.load(path, map_location="cpu", weights_only=True))
        except _WRONG_CONTENTS as error:
            raise self.damaged() from error

    def damaged(self) -> UserError:
        """What to tell of a file that does not hold the published weights."""
        return UserError(f"{self.path}: not intact {self.network} weights; delete the file so that it is fetched again")
