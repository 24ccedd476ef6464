"""Models on the Hugging Face Hub: fetched once into the Hub's cache, checked, and put there.

A model is addressed as `hub:owner/name`, or `hub:owner/name@revision` for a branch, a tag or a commit.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from utils.command import UserError, one_line
from utils.extras import missing_package
from utils.shared_model import CONFIGURATION, FILES, WEIGHTS

PREFIX = "hub:"

_ADDRESS = re.compile(r"(?:hub:)?([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?", re.ASCII)

LOG_IN = "log in with 'hf auth login', or set HF_TOKEN"


@dataclass(frozen=True)
class HubAddress:
    """A model on the Hub."""

    repository: str
    """`owner/name`."""
    revision: str | None = None
    """A branch, a tag or a commit; None for the newest state of the main branch."""

    @classmethod
    def of(cls, text: str, revision: str | None = None) -> "HubAddress":
        """Parse `owner/name`, with or without `hub:` before it and `@revision` behind it.

        Raises:
            UserError: it is something else.
        """
        written = f"{text}@{revision}" if revision is not None else text
        match = _ADDRESS.fullmatch(written)
        if match is None or ".." in written:
            raise UserError(
                f"{written}: not a model on the Hub; write {PREFIX}owner/name, or {PREFIX}owner/name@revision"
            )
        return cls(match[1], match[2])

    def __str__(self) -> str:
        return f"{PREFIX}{self.repository}" + (f"@{self.revision}" if self.revision else "")


@dataclass(frozen=True)
class Commit:
    """What an upload made."""

    sha: str
    url: str


def download(address: HubAddress) -> Path:
    """Return the folder in the Hub's cache that holds a model, after fetching what is not there yet.

    Out of the Hub's reach, it is the newest that was fetched before. Each file is compared with the checksum by which
    the Hub knows it.

    Raises:
        UserError: there is no such model, it may not be read, the Hub cannot be reached and nothing was fetched before,
            the transfer broke off, or a file is damaged.
    """
    hub = _require_hub("a model on the Hub")
    with _explained(address):
        folder = Path(hub.snapshot_download(address.repository, revision=address.revision, allow_patterns=list(FILES)))
    if absent := [name for name in (WEIGHTS, CONFIGURATION) if not (folder / name).is_file()]:
        raise UserError(f"{address}: not a model of this project (it has no {absent[0]}); choose another repository")
    for name in FILES:
        if (folder / name).is_symlink():
            _require_intact(folder / name, address)
    return folder


def page_of(address: HubAddress) -> str:
    """Return the address of a repository's page."""
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{address.repository}"


def files_on_hub(address: HubAddress) -> list[str] | None:
    """Return the paths of the files that a repository holds; None if there is no such repository, or revision.

    Raises:
        UserError: the Hub cannot be reached, or refuses to tell.
    """
    hub = _require_hub("sharing")
    with _explained(address):
        try:
            return list(hub.HfApi().list_repo_files(address.repository, revision=address.revision))
        except (hub.errors.RepositoryNotFoundError, hub.errors.RevisionNotFoundError):
            return None


def upload(folder: Path, address: HubAddress, message: str, is_private: bool) -> Commit:
    """Put the files of a folder into a repository, in one commit; both it and the branch are created if missing.

    Files in it that a shared model may have and the folder lacks are removed by the commit; others stay.

    Args:
        folder: the folder.
        address: the repository; its revision is a branch.
        message: the title of the commit.
        is_private: whether a new repository is seen by its owner alone.

    Raises:
        UserError: the Hub cannot be reached or refuses it; there is no commit then.
    """
    hub = _require_hub("sharing")
    api = hub.HfApi()
    names = sorted(path.name for path in folder.iterdir())
    with _explained(address):
        api.create_repo(address.repository, private=is_private or None, exist_ok=True)
        if address.revision:
            api.create_branch(address.repository, branch=address.revision, exist_ok=True)
        present = api.list_repo_files(address.repository, revision=address.revision)
        operations = [hub.CommitOperationAdd(name, str(folder / name)) for name in names]
        operations += [hub.CommitOperationDelete(name) for name in present if name in FILES and name not in names]
        commit = api.create_commit(address.repository, operations, commit_message=message, revision=address.revision)
    return Commit(commit.oid, commit.commit_url)


def _require_hub(purpose: str) -> ModuleType:
    """Return `huggingface_hub`, which then reports errors by exceptions alone.

    Raises:
        UserError: it is not installed.
    """
    try:
        import huggingface_hub
        from huggingface_hub import errors  # noqa: F401
        from huggingface_hub.utils import disable_progress_bars, logging
    except ImportError as error:
        raise missing_package(purpose, "huggingface-hub", "hub") from error
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        disable_progress_bars()
    return huggingface_hub


@contextmanager
def _explained(address: HubAddress) -> Iterator[None]:
    """Turn what goes wrong between here and the Hub into an error of one line."""
    from huggingface_hub import constants, errors

    page = page_of(address)
    try:
        yield
    except errors.GatedRepoError as error:
        raise UserError(f"{address}: its readers have to agree to terms; do so at {page}, and {LOG_IN}") from error
    except errors.RevisionNotFoundError as error:
        raise UserError(f"{address}: there is no such revision; {page}/commits/main lists them") from error
    except errors.RepositoryNotFoundError as error:
        raise UserError(f"{address}: no such repository, or a private one; check the name, or {LOG_IN}") from error
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise UserError(
            f"{address}: {constants.ENDPOINT} cannot be reached, and this was not fetched before; connect, and run the "
            "same command again"
        ) from error
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        remedy = f"{LOG_IN} as one who may do this" if status in (401, 403) else "run the same command again later"
        raise UserError(f"{address}: {constants.ENDPOINT} refuses this (HTTP {status}); {remedy}") from error
    except OSError as error:
        if error.errno is not None:  # of the disk
            raise
        raise _broken_off(address, error) from error
    except (errors.HTTPError, RuntimeError) as error:
        raise _broken_off(address, error.__cause__ or error) from error
    except (ValueError, LookupError, TypeError, AssertionError) as error:  # of answers that are not a Hub's
        raise UserError(
            f"{address}: {constants.ENDPOINT} does not answer as a Hub does ({one_line(error)[:100]}); check the "
            "network and HF_ENDPOINT"
        ) from error


def _broken_off(address: HubAddress, error: BaseException) -> UserError:
    return UserError(f"{address}: the transfer broke off ({one_line(error)[:100]}); run the same command again")


def _require_intact(link: Path, address: HubAddress) -> None:
    """Compare a file of the cache with its name there, the SHA-256 of the contents, or Git's SHA-1 of small files.

    Raises:
        UserError: they differ; the file is removed.
    """
    blob = link.parent / os.readlink(link)
    with blob.open("rb") as file:
        if len(blob.name) == 64:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        else:
            contents = file.read()
            found = hashlib.sha1(b"blob %d\0" % len(contents) + contents, usedforsecurity=False).hexdigest()
    if found != blob.name:
        link.unlink()
        blob.unlink()
        raise UserError(
            f"{address}: {link.name} was damaged, and is removed from the cache; run the same command again"
        )
