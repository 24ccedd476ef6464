"""Index of a data set in shards: tar files in WebDataset's layout, which training can stream.

    shards.json         this index, written last
    train-000000.tar    000003.00000.png 000003.00001.png ... 000003.annotations.json 000008.00000.png ...
    train-000001.tar    val-000000.tar    test-000000.tar

A *clip*, WebDataset's sample, is a video or a part of a long training video. The names of its members begin with its
key of six or more digits: its unmodified frames, numbered from 00000, and the `annotations.json` of `dataset.video`.

An index is untrusted: it may not contain paths, nor claim more frames than its shards have room for.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from utils.command import UserError

INDEX_FILE = "shards.json"
BLOCK = 512
"""Block size of tar files in bytes: that of a member's header; contents are padded to a multiple of it."""

PositiveInt = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, le=2**13)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ShardClip(_Entry):
    """A run of frames of one video."""

    key: Annotated[str, Field(pattern=r"^[0-9]{6,12}$")]
    video: str
    """Name of the video."""
    first_frame: Annotated[int, Field(ge=0)]
    """Number of its first frame in the video."""
    num_frames: PositiveInt
    num_starts: PositiveInt
    """Number of initial frames at which sequences may start. Sequences that start later belong to the next clip."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.num_starts > self.num_frames:
            raise ValueError(f"clip {self.key} has {self.num_starts} starts in {self.num_frames} frames")
        return self


class Shard(_Entry):
    """A tar file and the clips in it, sorted by their keys."""

    file: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+\.tar$")]
    num_bytes: PositiveInt
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    clips: Annotated[tuple[ShardClip, ...], Field(min_length=1)]

    @property
    def num_frames(self) -> int:
        """Number of frames in all its clips."""
        return sum(clip.num_frames for clip in self.clips)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 2 * BLOCK * self.num_frames > self.num_bytes:
            raise ValueError(f"{self.file} cannot hold {self.num_frames} frames in {self.num_bytes} bytes")
        return self


class SplitIndex(_Entry):
    """The shards of one split."""

    actions: tuple[int, ...] | None
    """True actions that occur, sorted; None if those of a video are unknown."""
    shards: Annotated[tuple[Shard, ...], Field(min_length=1)]

    @property
    def clips(self) -> Iterator[ShardClip]:
        """The clips of all shards."""
        return (clip for shard in self.shards for clip in shard.clips)


class Index(_Entry):
    """Contents of a data set in shards."""

    format_version: Literal[1] = 1
    frame_size: tuple[Side, Side]
    """Width and height of all frames, in pixels."""
    splits: dict[Annotated[str, Field(pattern="^(train|val|test)$")], SplitIndex]

    def find(self, split: str, place: str) -> SplitIndex:
        """Return the index of a split.

        Raises:
            UserError: there is no such split; the message names `place`, where this index is from.
        """
        if split in self.splits:
            return self.splits[split]
        raise UserError(f"{place}: has no split '{split}', only {', '.join(self.splits)}; write shards of it too")


def parse_index(text: bytes, place: str) -> Index:
    """Parse and validate an index that was read from `place`.

    Raises:
        UserError: it is not a valid index.
    """
    try:
        return Index.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{place}: is no index of shards that can be read: {key + ': ' if key else ''}{first['msg']}; write the "
            "shards again with dataset.acquisition.shard"
        ) from error
