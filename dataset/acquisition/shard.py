"""Write a data set as shards: tar files in WebDataset's layout, which training streams from a folder or URL.

`dataset.shards.index` describes the files. Frames are copied unchanged. Training videos longer than a clip are cut into
overlapping clips: every sequence that spans at most one frame more than the overlap lies within one clip. Longer
sequences across a cut are not drawn, and at the beginning of a clip stacked observations repeat its first frame, as at
the beginning of a video. Videos of the other splits are not cut, since they are evaluated whole. The clips are in a
fixed random order, so that a shard holds clips of many videos.
"""

import argparse
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from dataset.acquisition.claim import claim_folder
from dataset.annotations import ANNOTATIONS_FILE, FORMAT_VERSION, Annotations
from dataset.shards.archive import HashingStream, Member, archive_size, write_archive
from dataset.shards.index import INDEX_FILE, Index, Shard, ShardClip, SplitIndex, parse_index
from dataset.splits import FLAT, SPLITS, find_all_videos, find_split_videos
from dataset.video import FRAME_SUFFIXES, Video
from utils.command import EXIT_DONE, CommandParser, UserError, non_negative_int, positive_int, run_command
from utils.files import only_process, replacing, require_writable

OPTIONS_FILE = ".sharding.json"
"""File with the options, for resuming an interrupted run."""

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9}

EXAMPLE = "python -m dataset.acquisition.shard --data_root data/my_game --output_directory shards/my_game"


@dataclass(frozen=True)
class ShardOptions:
    """How to cut and pack videos."""

    shard_size: int
    """Maximum size of the clips in a shard in bytes, which a single larger clip may exceed."""
    clip_length: int
    """Number of frames in a clip of a training video."""
    overlap: int
    """Number of frames that a clip shares with the next one."""

    def __post_init__(self) -> None:
        """Check that the overlap is shorter than a clip.

        Raises:
            UserError: it is not.
        """
        if self.overlap >= self.clip_length:
            raise UserError(f"--overlap {self.overlap}: must be less than --clip_length, which is {self.clip_length}")


@dataclass(frozen=True)
class ClipFiles:
    """A clip and the files written for it."""

    clip: ShardClip
    video: Video

    @property
    def members(self) -> list[Member]:
        """The clip's frames, numbered from 0, and its annotations."""
        key, first, last = self.clip.key, self.clip.first_frame, self.clip.first_frame + self.clip.num_frames
        files, annotations = _contents(self.video)
        frames = [Member(f"{key}.{index:05d}{file.suffix}", file) for index, file in enumerate(files[first:last])]
        columns = {
            "actions": annotations.actions if annotations.actions_are_known else [None] * len(annotations),
            "rewards": annotations.rewards,
            "metadata": annotations.metadata,
            "dones": annotations.dones,
        }
        cut = {name: column[first:last] for name, column in columns.items()}
        text = json.dumps({"format_version": FORMAT_VERSION, **cut})
        return [*frames, Member(f"{key}.{ANNOTATIONS_FILE}", text.encode())]

    @cached_property
    def size(self) -> int:
        """Size of the clip in a tar file, in bytes."""
        return sum(member.archived_size for member in self.members)


@dataclass(frozen=True)
class PlannedShard:
    """A shard to be written, and its clips."""

    file: str
    num_bytes: int
    clips: list[ClipFiles]

    @property
    def members(self) -> Iterator[Member]:
        """Members of the tar file."""
        return (member for clip in self.clips for member in clip.members)

    @property
    def entry(self) -> dict[str, Any]:
        """The shard's entry in the index, without the SHA-256."""
        clips = tuple(each.clip for each in self.clips)
        return {"file": self.file, "num_bytes": self.num_bytes, "clips": clips}


@dataclass(frozen=True)
class ShardPlan:
    """What will be written."""

    frame_size: tuple[int, int]
    """Width and height in pixels."""
    actions: dict[str, tuple[int, ...] | None]
    """True actions of each split, as in the index."""
    shards: dict[str, list[PlannedShard]]
    """Shards of each split."""


def plan_shards(videos: Mapping[str, Sequence[Video]], options: ShardOptions) -> ShardPlan:
    """Decide which clips of the videos of each split go into which shard.

    Raises:
        UserError: the frames differ in size or the first one of a video cannot be read.
    """
    return ShardPlan(
        frame_size=_common_size([video for opened in videos.values() for video in opened]),
        actions={split: _known_actions(opened) for split, opened in videos.items()},
        shards={
            split: [
                PlannedShard(f"{split}-{number:06d}.tar", archive_size(sum(clip.size for clip in clips)), clips)
                for number, clips in enumerate(_pack(_cut(split, opened, options), options.shard_size))
            ]
            for split, opened in videos.items()
        },
    )


def write_shards(plan: ShardPlan, directory: Path) -> Index:
    """Write the shards, then the index. Shards that an interrupted run wrote are kept.

    Returns:
        The index.

    Raises:
        UserError: an existing file has other contents than planned.
        OSError: the disk is full, or the folder cannot be written.
    """
    planned = [shard for shards in plan.shards.values() for shard in shards]
    index_file = directory / INDEX_FILE
    if index_file.exists():
        index = parse_index(index_file.read_bytes(), str(index_file))
        written = [shard.model_dump(exclude={"sha256"}) for split in index.splits.values() for shard in split.shards]
        _require(index_file, written == [Shard.model_construct(**shard.entry).model_dump() for shard in planned])
        return index
    total = sum(shard.num_bytes for shard in planned)
    with tqdm(total=total, desc="writing", unit="B", unit_scale=True, disable=None) as progress:
        splits = {}
        for split, shards in plan.shards.items():
            entries = tuple(_write_shard(shard, directory / shard.file, progress) for shard in shards)
            splits[split] = SplitIndex(actions=plan.actions[split], shards=entries)
    index = Index(frame_size=plan.frame_size, splits=splits)
    with replacing(index_file) as stream:
        stream.write(index.model_dump_json().encode())
    return index


def _require(path: Path, is_as_planned: bool) -> None:
    if not is_as_planned:
        raise UserError(f"{path}: has other contents than the data set has now; choose a new --output_directory")


def _write_shard(shard: PlannedShard, path: Path, progress: "tqdm[Any]") -> Shard:
    """Write a shard, or verify the existing one, and return its index entry."""
    is_there = path.exists()
    if not is_there:
        with replacing(path) as stream:
            write_archive(stream, shard.members)
    with path.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if is_there:
        planned = HashingStream()
        write_archive(planned, shard.members)
        _require(path, sha256 == planned.hexdigest)
    progress.update(shard.num_bytes)
    return Shard(sha256=sha256, **shard.entry)


def _common_size(videos: Sequence[Video]) -> tuple[int, int]:
    """Return the common width and height of all frames."""
    sizes = {video.frame(0).size: video.path for video in videos}
    if len(sizes) > 1:
        ((width, height), path), ((other_width, other_height), other_path), *_ = sizes.items()
        raise UserError(
            f"{path} has frames of {width}x{height} pixels, but {other_path} of {other_width}x{other_height}; shards "
            "have frames of one size: resize them"
        )
    (size,) = sizes
    return size


def _cut(split: str, videos: Sequence[Video], options: ShardOptions) -> list[ClipFiles]:
    """The clips of a split, in the order of the videos."""
    clips: list[ClipFiles] = []
    for video in videos:
        length, overlap = (options.clip_length, options.overlap) if split == "train" else (video.num_frames, 0)
        step = length - overlap
        first_frames = range(0, max(video.num_frames - length, 0) + step, step)
        for first_frame in first_frames:
            is_last = first_frame == first_frames[-1]
            num_frames = video.num_frames - first_frame if is_last else length
            clip = ShardClip(
                key=f"{len(clips):06d}",
                video=video.path.name,
                first_frame=first_frame,
                num_frames=num_frames,
                num_starts=num_frames if is_last else step,
            )
            clips.append(ClipFiles(clip, video))
    return clips


def _pack(clips: Sequence[ClipFiles], shard_size: int) -> list[list[ClipFiles]]:
    """Fill shards with clips in random order, and sort those of each shard by key."""
    sizes = [clip.size for clip in tqdm(clips, "measuring", unit="clip", disable=None)]
    packs: list[list[ClipFiles]] = []
    room = 0
    for index in np.random.default_rng(0).permutation(len(clips)).tolist():
        if not packs or sizes[index] > room:
            packs.append([])
            room = shard_size
        packs[-1].append(clips[index])
        room -= sizes[index]
    return [sorted(pack, key=lambda each: each.clip.key) for pack in packs]


def _known_actions(videos: Sequence[Video]) -> tuple[int, ...] | None:
    """Return the true actions that occur in videos; None if those of one are unknown."""
    actions: set[int] = set()
    for video in videos:
        annotations = video.annotations
        if not annotations.actions_are_known:
            return None
        actions.update(annotations.actions)
    return tuple(sorted(actions))


@lru_cache(maxsize=1)
def _contents(video: Video) -> tuple[list[Path], Annotations]:
    """Return the frame files of a video in order, and its annotations, cached for the consecutive clips of a video."""
    files = [file for file in video.path.iterdir() if file.suffix.lower() in FRAME_SUFFIXES and file.stem.isdecimal()]
    return sorted(files, key=lambda file: int(file.stem)), video.annotations


def _open_videos(data_root: Path, dataset_splits: Sequence[float] | None) -> dict[str, list[Video]]:
    """Open the videos of each existing split.

    Raises:
        UserError: a video is refused, or a flat folder is not divided into splits.
    """
    if dataset_splits:
        paths = {
            split: find_split_videos(data_root, split, dataset_splits)
            for split, fraction in zip(SPLITS, dataset_splits, strict=True)
            if fraction
        }
    else:
        paths = find_all_videos(data_root)
        if FLAT in paths:
            raise UserError(
                f"{data_root}: is one flat folder of videos; say which are whose with --dataset_splits 0.8 0.1 0.1, as "
                "data.dataset_splits of a configuration does"
            )
    num_videos = sum(map(len, paths.values()))
    with tqdm(total=num_videos, desc="opening", unit="video", disable=None) as progress:
        videos: dict[str, list[Video]] = {}
        for split, folders in paths.items():
            videos[split] = []
            for folder in folders:
                videos[split].append(Video(folder))
                progress.update()
    return videos


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Write a data set as shards: tar files in WebDataset's layout, with an index. Training streams them from a "
        "folder, or from a web server or S3 bucket that they were copied to: let data.data_root name it. Running the "
        "same command again completes what was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--data_root", required=True, type=Path, metavar="DIR", help="the data set")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="new folder for the shards")
    add(
        "--shard_size",
        type=_byte_count,
        default="256MB",
        metavar="SIZE",
        help="of a shard, in KB, MB or GB (default: %(default)s)",
    )
    add(
        "--clip_length",
        type=positive_int,
        default=1000,
        metavar="N",
        help="frames after which a training video is cut (default: %(default)s)",
    )
    add(
        "--overlap",
        type=non_negative_int,
        default=64,
        metavar="N",
        help="frames that are repeated after a cut, so that sequences that span up to one more are not lost "
        "(default: %(default)s)",
    )
    add(
        "--dataset_splits",
        type=_fraction,
        nargs=len(SPLITS),
        metavar=("TRAIN", "VAL", "TEST"),
        help="cut one flat folder of videos, as data.dataset_splits does",
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command and return the exit code."""
    arguments = parse_arguments()
    options = ShardOptions(arguments.shard_size, arguments.clip_length, arguments.overlap)
    if arguments.dataset_splits and abs(sum(arguments.dataset_splits) - 1) > 1e-6:
        raise UserError(f"--dataset_splits: must sum to 1, not to {sum(arguments.dataset_splits):g}")
    directory = arguments.output_directory
    require_writable(directory, "choose another --output_directory")
    videos = _open_videos(arguments.data_root, arguments.dataset_splits)
    plan = plan_shards(videos, options)
    claimed = {
        "data_root": str(arguments.data_root),
        **vars(options),
        "dataset_splits": arguments.dataset_splits,
    }
    claim_folder(directory, OPTIONS_FILE, claimed, "sharded")
    with only_process(directory, "wait for it"):
        index = write_shards(plan, directory)
    for split, contents in index.splits.items():
        clips = list(contents.clips)
        num_bytes = sum(each.num_bytes for each in contents.shards)
        print(
            f"{split:<6} {len(contents.shards)} shards, {num_bytes / 1e6:,.1f} MB, {len(clips)} clips, "
            f"{sum(clip.num_frames for clip in clips)} frames"
        )
    print(f"written to {directory}: train with --set data.data_root={directory}")
    return EXIT_DONE


def _byte_count(text: str) -> int:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(KB|MB|GB)", text)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{text} is not a size such as 256MB")
    return round(float(match[1]) * UNITS[match[2]])


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 1")
    return value


if __name__ == "__main__":
    run_command(main)
