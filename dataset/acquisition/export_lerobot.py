"""Export a data set to LeRobot, version 3, with true actions or with those inferred by a trained model."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from dataset.acquisition.readers.parquet import import_pyarrow
from dataset.splits import FLAT, find_all_videos
from dataset.video import Video
from playing.lerobot import export, infer_actions, refuse_existing, take_true_actions
from utils.command import EXIT_DONE, EXIT_SKIPPED, CommandParser, positive_float, run_command
from utils.configuration import load_configuration
from utils.device import explaining_lack_of_memory, select_device

EXAMPLE = """\
python -m dataset.acquisition.export_lerobot --data_root data/breakout_demo \\
      --output_directory data/breakout_demo_lerobot --config configs/00_breakout_demo.yaml"""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Export a data set to LeRobot, version 3, with its true actions or, given --config, with those that the run's "
        "latest checkpoint infers. Needs pyarrow.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--data_root", required=True, type=Path, metavar="DIR", help="the data set, with or without split folders")
    add("--output_directory", required=True, type=Path, metavar="DIR", help="new folder for the LeRobot data set")
    add("--config", metavar="FILE", help="configuration of the run whose model infers the actions, see configs/")
    parser.add_overrides()
    parser.add_device("infer on")
    add(
        "--fps",
        type=positive_float,
        default=10.0,
        metavar="F",
        help="frames a second of the videos, which a data set does not tell (default: %(default)g)",
    )
    return parser.parse_args(arguments)


def main() -> int:
    """Run the command and return the exit code."""
    arguments = parse_arguments()
    import_pyarrow()
    refuse_existing(arguments.output_directory)
    paths = find_all_videos(arguments.data_root)
    videos = {
        "train" if split == FLAT else split: [Video(path) for path in split_paths]
        for split, split_paths in paths.items()
    }
    if arguments.config:
        config = load_configuration(arguments.config, arguments.overrides)
        device = select_device(arguments.device)
        with explaining_lack_of_memory(device):
            episodes = infer_actions(videos, config, device)
    else:
        episodes = take_true_actions(videos)
    action_name = "inferred_action" if arguments.config else "true_action"
    export(episodes, arguments.output_directory, arguments.fps, action_name)

    num_frames = sum(len(episode.actions) for episode in episodes)
    num_skipped = sum(map(len, videos.values())) - len(episodes)
    print(f"{len(episodes)} episodes, {num_frames} frames in {arguments.output_directory}")
    return EXIT_SKIPPED if num_skipped else EXIT_DONE


if __name__ == "__main__":
    run_command(main)
