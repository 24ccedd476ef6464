"""Reader of image folders: each is a video, whose frames are sorted naturally by name."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from dataset.acquisition.readers.files import explaining_damage, files_of, folders_of, name_of
from dataset.acquisition.readers.gif import is_animated
from dataset.acquisition.readers.pictures import require_bearable_size, upright_pixels, upright_size
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.video import FRAME_SUFFIXES

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP")


def find(path: Path) -> list[Source]:
    """Return those of the folder `path` and its direct sub-folders that hold at least two images."""
    root = path.resolve()
    return [
        ImageFolder(name_of(folder, root.parent), tuple(pictures))
        for folder in folders_of(root)
        if len(pictures := [file for file in files_of(folder, FRAME_SUFFIXES) if not is_animated(file)]) > 1
    ]


@dataclass(frozen=True)
class ImageFolder:
    """Images of one folder, which must all have the same size."""

    name: str
    pictures: tuple[Path, ...]

    def probe(self) -> Probe:
        """Read the sizes of all images.

        Raises:
            SourceError: one cannot be read or has another size.
        """
        sizes = []
        for picture in self.pictures:
            with self._open(picture) as image:
                sizes.append(upright_size(image))
            self._require_same_size(picture, sizes[-1], sizes[0])
        width, height = sizes[0]
        return Probe(width, height, None, len(self.pictures))

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the images.

        Raises:
            SourceError: one cannot be read or has another size.
        """
        size = None
        for picture in self.pictures:
            with self._open(picture) as image:
                size = size or upright_size(image)
                self._require_same_size(picture, upright_size(image), size)
                pixels = upright_pixels(image)
            yield SourceFrame(pixels)

    @contextmanager
    def _open(self, picture: Path) -> Iterator[Image.Image]:
        name = f"{self.name}: {picture.name}"
        with explaining_damage(name), Image.open(picture, formats=_FORMATS) as image:
            require_bearable_size(name, *image.size)
            yield image

    def _require_same_size(self, picture: Path, size: tuple[int, int], expected: tuple[int, int]) -> None:
        if size != expected:
            (width, height), (first_width, first_height) = size, expected
            raise SourceError(
                f"{self.name}: {picture.name} has {width} x {height} pixels, but {self.pictures[0].name} has "
                f"{first_width} x {first_height}; bring all pictures of a folder to one size"
            )
