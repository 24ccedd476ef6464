"""What reads hostile files: the reading parts of commands, as `main` functions of child processes."""

import sys
from pathlib import Path

from benchmarks.endurance.miniature import CONFIG, OVERRIDES
from dataset.acquisition.conversion import ConversionOptions, convert_sources
from dataset.open import find_videos
from dataset.video import Video
from preparation.footage import look_at
from utils.command import EXIT_DONE, EXIT_SKIPPED
from utils.configuration import load_configuration


def read_footage() -> int:
    """Convert the footage at the path that is the argument, as `prepare` does."""
    footage = look_at(Path(sys.argv[1]))
    conversion = convert_sources(footage.sources, ConversionOptions((32, 32), 10), Path("converted"), processes=1)
    return EXIT_SKIPPED if footage.skipped or conversion.skipped or conversion.warnings else EXIT_DONE


def read_configuration() -> int:
    """Load the configuration that is the argument."""
    load_configuration(sys.argv[1])
    return EXIT_DONE


def read_shards() -> int:
    """Unpack the validation split of the shards that are the argument, and decode its frames."""
    own = (f"data.data_root={sys.argv[1]}", "data.shard_directory=local")
    for path in find_videos(load_configuration(CONFIG, [*OVERRIDES, *own]).data, "val"):
        video = Video(path)
        for number in range(video.num_frames):
            video.frame(number)
    return EXIT_DONE
