"""The index of a data set in shards: tar files in WebDataset's layout, which training can stream.

    shards.json         this index, written last
    train-000000.tar    000003.00000.png 000003.00001.png ... 000003.annotations.json 000008.00000.png ...
    train-000001.tar    val-000000.tar    test-000000.tar

A *clip*, WebDataset's sample, is a video or, of a long training video, a part. Its key, six digits or more, begins the
names of its members: its frames as they were, numbered from 00000 on, and the `annotations.json` of `dataset.video`.

An index may come from anywhere: it names no paths, and claims no more frames than its shards have room for.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from utils.command import UserError

INDEX_FILE = "shards.json"
BLOCK = 512
"""Bytes: what a member of a tar file takes is a header of this size, and contents filled up to a multiple of it."""

PositiveInt = Annotated[int, Field(ge=1)]
Side = Annotated[int, Field(ge=1, le=2**13)]


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ShardClip(_Entry):
    """A run of frames of one video."""

    key: Annotated[str, Field(pattern=r"^[0-9]{6,12}$")]
    video: str
    """The name of its video."""
    first_frame: Annotated[int, Field(ge=0)]
    """Its first frame's number in the video."""
    num_frames: PositiveInt
    num_starts: PositiveInt
    """The number of frames, the first ones, at which sequences start. At the others those of the next clip do."""

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
        """The number of frames in all its clips."""
        return sum(clip.num_frames for clip in self.clips)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if 2 * BLOCK * self.num_frames > self.num_bytes:
            raise ValueError(f"{self.file} cannot hold {self.num_frames} frames in {self.num_bytes} bytes")
        return self


class SplitIndex(_Entry):
    """The shards of one split."""

    actions: tuple[int, ...] | None
    """The true actions that occur, sorted; None if those of a video are unknown."""
    shards: Annotated[tuple[Shard, ...], Field(min_length=1)]

    @property
    def clips(self) -> Iterator[ShardClip]:
        """The clips of all shards."""
        return (clip for shard in self.shards for clip in shard.clips)


class Index(_Entry):
    """What a data set in shards holds."""

    format_version: Literal[1] = 1
    frame_size: tuple[Side, Side]
    """Width and height of all frames, in pixels."""
    splits: dict[Annotated[str, Field(pattern="^(train|val|test)$")], SplitIndex]

    def find(self, split: str, place: str) -> SplitIndex:
        """Return the index of a split. `UserError` with the place where this index is from if there is none."""
        if split in self.splits:
            return self.splits[split]
        raise UserError(f"{place}: has no split '{split}', only {', '.join(self.splits)}; write shards of it too")


def parse_index(text: bytes, place: str) -> Index:
    """Return the index that was read at a place. `UserError` if it is none."""
    try:
        return Index.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        raise UserError(
            f"{place}: is no index of shards that can be read: {key + ': ' if key else ''}{first['msg']}; write the "
            "shards again with dataset.acquisition.shard"
        ) from error
