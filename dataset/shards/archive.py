"""Tar files of shards: written reproducibly to the byte, unpacked as untrusted input."""

import hashlib
import re
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import IO, Protocol, cast

from dataset.annotations import ANNOTATIONS_FILE
from dataset.shards.index import BLOCK, ShardClip
from dataset.video import FRAME_SUFFIXES
from utils.command import UserError, one_line

_MEMBER_NAME = re.compile(rf"([0-9]+)\.(([0-9]{{5,}})(\.\w+)|{re.escape(ANNOTATIONS_FILE)})", re.ASCII)


@dataclass(frozen=True)
class Member:
    """A file in a tar file."""

    name: str
    contents: Path | bytes
    """The file to read them from, or the contents themselves."""

    @property
    def size(self) -> int:
        """Size of the contents in bytes."""
        return len(self.contents) if isinstance(self.contents, bytes) else self.contents.stat().st_size

    @property
    def archived_size(self) -> int:
        """Size in the tar file in bytes, header and padding included."""
        return BLOCK + -(-self.size // BLOCK) * BLOCK


def archive_size(members_size: int) -> int:
    """Return the size of a tar file in bytes, given the total archived size of its members.

    Two empty blocks end it, and it is padded to records of 20 blocks.
    """
    return -(-(members_size + 2 * BLOCK) // tarfile.RECORDSIZE) * tarfile.RECORDSIZE


class Stream(Protocol):
    """Sink of bytes."""

    def write(self, data: bytes, /) -> object:
        """Write some bytes."""
        ...


class HashingStream:
    """Stream that only computes the SHA-256 of what is written."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    @property
    def hexdigest(self) -> str:
        """SHA-256 so far, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes, /) -> None:
        """Add some bytes to the digest."""
        self._digest.update(data)


def write_archive(stream: Stream, members: Iterable[Member]) -> None:
    """Write a tar file of plain files without owner or time.

    Raises:
        OSError: a file cannot be read, or changes meanwhile.
    """
    with tarfile.open(fileobj=cast(IO[bytes], stream), mode="w|", format=tarfile.USTAR_FORMAT) as archive:
        for member in members:
            header = tarfile.TarInfo(member.name)
            header.size = member.size
            with BytesIO(member.contents) if isinstance(member.contents, bytes) else member.contents.open("rb") as file:
                archive.addfile(header, file)


def unpack(archive: Path, folder: Path, clips: Sequence[ShardClip], place: str) -> None:
    """Unpack the clips of a shard into videos as `dataset.video` reads them.

    Args:
        archive: the tar file.
        folder: a new folder, in which a folder is created for each clip, named by its key.
        clips: the clips that the archive must hold, and nothing else.
        place: path or URL of the archive, for messages.

    Raises:
        UserError: a member is no plain file, is not named like a frame or annotation of these clips, occurs twice or is
            larger than the archive; or the archive is damaged. Such members are not written.
        OSError: the folder cannot be written.
    """
    lengths = {clip.key: clip.num_frames for clip in clips}
    folder.mkdir()
    for key in lengths:
        (folder / key).mkdir()
    num_bytes = archive.stat().st_size
    try:
        with tarfile.open(archive, "r:") as members:
            for member in members:
                if reason := _reason_to_refuse(member, lengths, num_bytes):
                    raise UserError(f"{place}: {member.name!r} {reason}; the shard was not written by this project")
                key, _, name = member.name.partition(".")
                contents = members.extractfile(member)
                assert contents is not None, "a plain file has contents"
                with (folder / key / name).open("xb") as file:
                    shutil.copyfileobj(contents, file)
    except FileExistsError as error:
        raise UserError(f"{place}: holds {key}.{name} twice; the shard was not written by this project") from error
    except (OSError, UserError):
        raise
    except Exception as error:  # damaged headers raise many kinds of exceptions
        raise UserError(f"{place}: is a damaged tar file: {one_line(error)}; write the shards again") from error


def _reason_to_refuse(member: tarfile.TarInfo, lengths: dict[str, int], num_bytes: int) -> str | None:
    """Return why a member is not allowed in a shard with clips of these lengths; None if it is."""
    if member.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or member.issparse():
        return "is not a plain file"
    match = _MEMBER_NAME.fullmatch(member.name)
    if match is None:
        return "is neither a frame nor an annotation"
    key, _, frame, suffix = match.groups()
    if key not in lengths or (frame and (int(frame) >= lengths[key] or suffix.lower() not in FRAME_SUFFIXES)):
        return "is not in the index"
    if member.offset_data + member.size > num_bytes:
        return f"claims {member.size} bytes, more than there are"
    return None
