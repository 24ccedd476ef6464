"""Access to shards in a folder or at an http(s):// or s3:// URL, with fsspec; checksums are verified."""

import errno
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, TypeVar

import fsspec

from dataset.shards.archive import unpack
from dataset.shards.index import INDEX_FILE, Index, Shard, parse_index
from utils.command import UserError, one_line

PACKAGES = {"http": "aiohttp", "https": "aiohttp", "s3": "s3fs"}
"""Package that fsspec needs for each URL scheme."""

RETRY_DELAYS = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait after each failed attempt except the last."""

STALL_TIMEOUT = 60
"""Seconds without data after which a server counts as failed."""

CHUNK_BYTES = 2**20
S3_REQUEST_BYTES = 2**24
MAX_INDEX_BYTES = 2**28

Result = TypeVar("Result")


class _TransferError(Exception):
    """A failed attempt that may succeed when repeated."""


def is_sharded(data_root: str | Path) -> bool:
    """Whether a data set is in shards: at a URL, or in a folder with an index."""
    return "://" in str(data_root) or Path(data_root, INDEX_FILE).is_file()


@dataclass(frozen=True)
class Storage:
    """A folder or URL with an index and its shards."""

    root: str

    def __post_init__(self) -> None:
        """Check the URL scheme.

        Raises:
            UserError: it is not supported.
        """
        if self._is_remote and self._protocol not in PACKAGES:
            raise UserError(
                f"{self.root}: shards are read from a folder, or from a URL that begins with "
                f"{'://, '.join(PACKAGES)}://; correct data.data_root"
            )

    @property
    def identity(self) -> str:
        """URL, or absolute path of the folder."""
        return self.root.rstrip("/") if self._is_remote else str(Path(self.root).resolve())

    def place(self, file: str) -> str:
        """Return the path or URL of a file."""
        return f"{self.root.rstrip('/')}/{file}"

    def read_index(self) -> Index:
        """Read and validate the index.

        Raises:
            UserError: it is missing, invalid, or cannot be reached.
        """
        return parse_index(self._retrying(INDEX_FILE, self._index_text), self.place(INDEX_FILE))

    def fetch(self, shard: Shard, folder: Path) -> Path:
        """Return the folder `folder/<SHA-256>` with the videos of a shard, after downloading it if it is missing.

        Until it is complete it is in a hidden folder, which remains only if the process is killed.

        Raises:
            UserError: the shard is missing, has another checksum than in the index, cannot be reached or is refused.
            OSError: the folder cannot be written.
        """
        target = folder / shard.sha256
        if target.is_dir():
            return target
        if shutil.disk_usage(folder).free < 2 * shard.num_bytes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
        with TemporaryDirectory(prefix=".", dir=folder) as unfinished:
            archive, videos = Path(unfinished, shard.file), Path(unfinished, shard.sha256)
            if self._is_remote:
                self._retrying(shard.file, lambda: self._download(shard, archive))
            else:
                archive = Path(self.root, shard.file)
                self._retrying(shard.file, lambda: list(map(len, self._verified(shard))))
            unpack(archive, videos, shard.clips, self.place(shard.file))
            videos.rename(target)
        return target

    @property
    def _is_remote(self) -> bool:
        return "://" in self.root

    @property
    def _protocol(self) -> str:
        return self.root.partition("://")[0]

    def _retrying(self, file: str, attempt: Callable[[], Result]) -> Result:
        """Call `attempt` and return its result; if the root is remote, retry after failures."""
        for delay in (*(RETRY_DELAYS if self._is_remote else ()), None):
            try:
                return attempt()
            except _TransferError as error:
                if delay is None:
                    tries = f" (tried {len(RETRY_DELAYS) + 1} times)" if self._is_remote else ""
                    raise UserError(
                        f"{self.place(file)}: {error}{tries}; mend it there, or the connection, and run the same "
                        "command again"
                    ) from error
                time.sleep(delay)
        raise AssertionError("the last attempt returns or raises")

    def _index_text(self) -> bytes:
        text = bytearray()
        for chunk in self._chunks(INDEX_FILE):
            text += chunk
            if len(text) > MAX_INDEX_BYTES:
                raise UserError(f"{self.place(INDEX_FILE)}: is larger than {MAX_INDEX_BYTES} bytes; write fewer clips")
        return bytes(text)

    def _download(self, shard: Shard, path: Path) -> None:
        with path.open("wb") as file:
            for chunk in self._verified(shard):
                file.write(chunk)

    def _verified(self, shard: Shard) -> Iterator[bytes]:
        """Yield the bytes of a shard in chunks; they are verified only once the iteration is complete."""
        digest, num_bytes = hashlib.sha256(), 0
        for chunk in self._chunks(shard.file):
            num_bytes += len(chunk)
            if num_bytes > shard.num_bytes:
                raise _TransferError(f"is longer than the {shard.num_bytes} bytes in the index")
            digest.update(chunk)
            yield chunk
        if num_bytes < shard.num_bytes:
            raise _TransferError(f"ends after {num_bytes} of {shard.num_bytes} bytes")
        if digest.hexdigest() != shard.sha256:
            raise _TransferError("is not the file in the index, by its SHA-256")

    def _chunks(self, file: str) -> Iterator[bytes]:
        try:
            with self._open(file) as stream:
                while chunk := stream.read(CHUNK_BYTES):
                    yield chunk
        except UserError:
            raise
        except FileNotFoundError as error:
            raise UserError(f"{self.place(file)}: no such file; correct data.data_root, or copy it there") from error
        except Exception as error:  # network failures raise many kinds of exceptions
            raise _TransferError(f"cannot be read: {one_line(error)}") from error

    def _open(self, file: str) -> IO[bytes]:
        if not self._is_remote:
            return Path(self.root, file).open("rb")
        return _open_url(self.place(file), self._protocol)


def _open_url(url: str, protocol: str) -> Any:
    """Open a file at a URL for sequential reading.

    Raises:
        UserError: a required package is not installed.
    """
    try:
        file_system = fsspec.get_filesystem_class(protocol)
        if protocol == "s3":
            return file_system().open(url, "rb", block_size=S3_REQUEST_BYTES)
        import aiohttp
    except ImportError as error:
        package = PACKAGES[protocol]
        raise UserError(f"{url}: needs {package}, which is not installed; install it: pip install {package}") from error
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=STALL_TIMEOUT, sock_read=STALL_TIMEOUT)
    # Any given size avoids a request for it, whose failure fsspec would report as a missing file.
    return file_system(client_kwargs={"timeout": timeout}).open(url, "rb", block_size=0, size=1)
