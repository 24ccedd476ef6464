"""Split of a data set in shards: facts from its index, and access to local shards."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from dataset.shards.storage import Storage
from dataset.transforms import FrameTransform
from dataset.video import Video, VideoError
from dataset.video_dataset import VideoDataset
from utils.command import UserError, tell
from utils.configuration import Cache


class ShardedSplit:
    """Sequences in the clips of a split, from which a `dataset.shards.loader.ShardedLoader` makes batches.

    Attributes:
        storage: location of the shards.
        shards: their entries in the index.
        videos: the clips of all shards; the video of a `SequenceKey` is an index into them.
        num_frames: number of frames in them; those shared by two clips count twice.
        actions: true actions that occur; None if not all are known.
        lengths: number of frames of each clip, int64 (clips).
        is_decoded: whether the frames of local shards are decoded.
        first_clips: index of each shard's first clip and, last, the number of clips, int64 (shards + 1).
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        *,
        crop: Sequence[int],
        size: Sequence[int],
        observations_count: int,
        skip_frames: int = 0,
        observation_stacking: int = 1,
        cache: Cache = "none",
    ) -> None:
        """Read the index; the other arguments are those of `dataset.video_dataset.VideoDataset`.

        Raises:
            UserError: there is no such split, the index cannot be read, the crop extends beyond the frames, all clips
                are too short, or the cache is `memory`, which cannot hold streamed data.
        """
        if cache == "memory":
            raise UserError("data.cache 'memory' cannot hold a data set in shards; set data.cache to 'disk' or 'none'")
        self.storage = Storage(data_root)
        index = self.storage.read_index()
        contents = index.find(split, data_root)
        self.shards, self.actions = contents.shards, contents.actions
        self.videos = list(contents.clips)
        self.lengths = np.array([clip.num_frames for clip in self.videos])
        self.num_frames = int(self.lengths.sum())
        self.first_clips = np.cumsum([0, *(len(shard.clips) for shard in self.shards)])
        self._num_starts = np.array([clip.num_starts for clip in self.videos])
        self.is_decoded = cache == "disk"
        self._crop, self._size, self._cache = crop, size, cache
        self._skip_frames, self._observation_stacking = skip_frames, observation_stacking
        FrameTransform.of(crop, size)(Image.new("RGB", index.frame_size))  # detects a crop outside of the frames
        self._check_lengths(observations_count)

    def require_shards(self, num_ranks: int) -> None:
        """Check that there is at least one shard per rank.

        Raises:
            UserError: there are fewer shards than ranks.
        """
        if len(self.shards) < num_ranks:
            raise UserError(
                f"{self.storage.root}: has {len(self.shards)} shards for {num_ranks} processes, which need one each; "
                "write smaller ones with --shard_size"
            )

    def span(self, observations_count: int) -> int:
        """Return the number of frames that a sequence of T observations spans, from its first to its last."""
        return (observations_count - 1) * (self._skip_frames + 1) + 1

    def num_sequences(self, observations_count: int) -> np.ndarray:
        """Return the number of sequences of T observations in each shard: int64 (shards)."""
        room = self.lengths - self.span(observations_count) + 1
        return np.add.reduceat(np.clip(room, 0, self._num_starts), self.first_clips[:-1])

    def starts(self, shards: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
        """Return clips and frames at which sequences in some shards start, including those too close to the end."""
        clips = np.concatenate([np.arange(*self.first_clips[shard : shard + 2]) for shard in shards])
        counts = self._num_starts[clips]
        return np.repeat(clips, counts), np.concatenate([np.arange(count) for count in counts])

    def shard_of(self, clip: int) -> int:
        """Return the index of the shard that holds a clip."""
        return int(np.searchsorted(self.first_clips, clip, side="right")) - 1

    @contextmanager
    def naming(self, shard: int) -> Iterator[None]:
        """Prefix errors about a shard's videos with its path or URL: local paths are only hashes."""
        try:
            yield
        except VideoError as error:
            raise UserError(f"{self.storage.place(self.shards[shard].file)}: {error}") from error

    def open_shard(self, shard: int, folder: Path) -> VideoDataset:
        """Open the sequences of a shard in the folder it was downloaded to; the cache `disk` decodes them once.

        Raises:
            VideoError: a video or frame is refused.
        """
        videos = folder / self.shards[shard].sha256
        return VideoDataset(
            [Video(videos / clip.key) for clip in self.shards[shard].clips],
            crop=self._crop,
            size=self._size,
            observations_count=1,  # clips that are too short are reported once, for all shards
            skip_frames=self._skip_frames,
            observation_stacking=self._observation_stacking,
            cache=self._cache,
        )

    def _check_lengths(self, observations_count: int) -> None:
        needed = self.span(observations_count)
        num_short = np.count_nonzero(self.lengths < needed)
        reason = f"shorter than the {needed} frames of {observations_count} observations"
        if num_short == len(self.videos):
            raise UserError(
                f"{self.storage.root}: all {num_short} clips are {reason}; lower observations_count or skip_frames, or "
                "write longer clips"
            )
        if num_short:
            tell(f"warning: {self.storage.root}: {num_short} of {len(self.videos)} clips are skipped: {reason}")
