"""Cut evaluation splits into short videos of fixed length and lower frame rate (docs/method.md#data-sets).

Every fifth frame of the videos of these splits is kept, and every sixteen of these become a video with unknown
annotations; the remainder is dropped. The other splits are copied unchanged, as hard links where the disk supports
them. Existing videos are kept.
"""

import argparse
from collections.abc import Collection, Sequence
from pathlib import Path

from dataset.acquisition.tennis.train_val_test_split import link_video
from dataset.splits import SPLITS, find_split_videos
from dataset.video import Video, write_video
from utils.command import CommandParser, UserError, positive_int, run_command
from utils.files import only_process

FRAME_STEP = 5
LENGTH = 16
SUBSAMPLED_SPLITS = ("val", "test")

EXAMPLE = """\
python -m dataset.acquisition.tennis.subsample_videos_and_make_fixed_length \\
      --data_root data/tennis_v4_256_ours_work/splits --output_directory data/tennis_v4_256_ours"""


def fixed_length_sequences(num_frames: int, frame_step: int = FRAME_STEP, length: int = LENGTH) -> list[range]:
    """Return the frame numbers of each sequence that a video of `num_frames` is cut into."""
    num_sequences = len(range(0, num_frames, frame_step)) // length
    span = length * frame_step
    return [range(first, first + span, frame_step) for first in range(0, num_sequences * span, span)]


def subsample_dataset(
    data_root: Path,
    directory: Path,
    subsampled_splits: Collection[str] = SUBSAMPLED_SPLITS,
    frame_step: int = FRAME_STEP,
    length: int = LENGTH,
) -> dict[str, int]:
    """Write the videos missing in the folder of a data set.

    Args:
        data_root: the data set with videos of any length.
        directory: folder for the new data set.
        subsampled_splits: splits that are subsampled and cut.
        frame_step: every frame of this stride is kept, from the first on.
        length: number of frames in each of the new videos.

    Returns:
        The number of videos in each split.

    Raises:
        UserError: a split has no videos, or none that is long enough.
    """
    counts = {}
    for split in SPLITS:
        videos = find_split_videos(data_root, split)
        if split in subsampled_splits:
            counts[split] = _subsample_videos(videos, directory / split, frame_step, length)
            continue
        for path in videos:
            link_video(path, directory / split / path.name)
        counts[split] = len(videos)
    return counts


def _subsample_videos(videos: Sequence[Path], directory: Path, frame_step: int, length: int) -> int:
    count = 0
    for video in map(Video, videos):
        for frames in fixed_length_sequences(len(video), frame_step, length):
            target = directory / f"{count:05d}"
            if not target.exists():
                write_video(target, map(video.frame, frames))
            count += 1
    if count == 0:
        raise UserError(
            f"{videos[0].parent}: no video has {length} frames {frame_step} apart; lower --length or --frame_step"
        )
    return count


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Make the splits that a model is evaluated on of short videos of one length and a lower frame rate, and take "
        "over the others. Running the same command again completes what was interrupted.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--data_root", required=True, type=Path, metavar="DIR", help="folder with train, val and test")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="folder for the data set")
    add(
        "--splits",
        nargs="*",
        choices=SPLITS,
        default=SUBSAMPLED_SPLITS,
        help="splits to subsample and cut (default: val test)",
    )
    add("--frame_step", type=positive_int, default=FRAME_STEP, metavar="N", help="keep every Nth frame (default: 5)")
    add("--length", type=positive_int, default=LENGTH, metavar="T", help="frames in every new video (default: 16)")
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    directory = arguments.output_directory
    with only_process(directory, "--output_directory"):
        counts = subsample_dataset(
            arguments.data_root, directory, arguments.splits, arguments.frame_step, arguments.length
        )
    print(f"{', '.join(f'{count} {split}' for split, count in counts.items())} videos in {directory}")


if __name__ == "__main__":
    run_command(main)
