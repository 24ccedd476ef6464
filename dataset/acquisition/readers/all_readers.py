"""All readers of footage. A new one is added by naming its module here."""

from pathlib import Path

from dataset.acquisition.readers import bair_tfrecord, gif, hdf5, image_folder, lerobot, video_file
from dataset.acquisition.readers.source import Source

READERS = (video_file, gif, hdf5, bair_tfrecord)


def find_sources(path: Path) -> list[Source]:
    """Return the videos of every kind at a path, a file or a folder, in a fixed order; none if there are none.

    The files of a LeRobot data set belong to it alone, and pictures make videos only where nothing else does: beside
    videos they are thumbnails.

    Raises:
        UserError: there are files of a kind that cannot be read on this machine.
    """
    return (
        lerobot.find(path) or [source for reader in READERS for source in reader.find(path)] or image_folder.find(path)
    )
