"""List of all readers of footage; a new one is added by naming its module here."""

from pathlib import Path

from dataset.acquisition.readers import bair_tfrecord, gif, hdf5, image_folder, lerobot, video_file
from dataset.acquisition.readers.files import name_of
from dataset.acquisition.readers.source import Source
from dataset.video import FRAME_SUFFIXES

READERS = (video_file, gif, hdf5, bair_tfrecord)


def find_sources(path: Path) -> list[Source]:
    """Return the videos of every kind at a path, a file or a folder, in a fixed order; empty if there are none.

    Files of a LeRobot data set are read only by its reader, and images count as videos only if nothing else is found:
    next to videos they are thumbnails. A file that is named itself may have any extension.

    Raises:
        UserError: there are files of a kind whose package is not installed.
    """
    return (
        lerobot.find(path)
        or [source for reader in READERS for source in reader.find(path)]
        or image_folder.find(path)
        or _unknown_file(path)
    )


def _unknown_file(path: Path) -> list[Source]:
    """Return a file that is named itself, whatever its extension, if ffmpeg finds a video in it."""
    if not path.is_file() or path.suffix.lower() in FRAME_SUFFIXES:
        return []
    file = video_file.VideoFile(path, name_of(path, path))
    return [file] if file.is_video() else []
