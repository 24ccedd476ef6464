"""Reader of animated GIF and WebP files."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path

from PIL import Image

from dataset.acquisition.readers.files import explaining_damage, find_files, name_of
from dataset.acquisition.readers.pictures import require_bearable_size, upright_pixels
from dataset.acquisition.readers.source import Probe, Source, SourceFrame

DEFAULT_DURATION = 100
"""Milliseconds for which a frame without a duration is shown, as in browsers."""


def find(path: Path) -> list[Source]:
    """Return the GIF files, animated or not, and the animated WebP files at a path."""
    files = [file for file in find_files(path, {".gif", ".webp"}) if file.suffix.lower() == ".gif" or is_animated(file)]
    return [Animation(name_of(file, path), file) for file in files]


def is_animated(file: Path) -> bool:
    """Whether a file is a readable WebP animation."""
    if file.suffix.lower() == ".webp":
        with suppress(Exception), Image.open(file, formats=["WEBP"]) as image:
            return bool(getattr(image, "is_animated", False))
    return False


@dataclass(frozen=True)
class Animation:
    """One animation; its frame rate is the number of frames divided by the sum of their durations."""

    name: str
    file: Path

    def probe(self) -> Probe:
        """Read all frames, since each one holds its own duration.

        Raises:
            SourceError: a frame cannot be read.
        """
        durations = []
        for image in self._images():
            size = image.size
            durations.append(Fraction(image.info.get("duration") or DEFAULT_DURATION))
        return Probe(*size, 1000 * len(durations) / sum(durations, Fraction()), len(durations))

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames, with transparency on white.

        Raises:
            SourceError: a frame cannot be read.
        """
        for image in self._images():
            yield SourceFrame(upright_pixels(image))

    def _images(self) -> Iterator[Image.Image]:
        """Yield the open file positioned at each frame in turn, at least one."""
        with explaining_damage(self.name):
            image = Image.open(self.file, formats=["GIF", "WEBP"])
        with image:
            require_bearable_size(self.name, *image.size)
            for index in count():
                with explaining_damage(f"{self.name}: frame {index}"):
                    if not _seek(image, index):
                        return
                    image.load()
                yield image


def _seek(image: Image.Image, index: int) -> bool:
    """Seek to a frame and return whether it exists."""
    try:
        image.seek(index)
    except EOFError:
        return False
    return True
