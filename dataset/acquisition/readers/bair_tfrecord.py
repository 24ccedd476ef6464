"""Reader of the BAIR robot-pushing data set as published: TFRecord files, one video per record.

Frame i of a record has the images `i/image_main/encoded` and `i/image_aux1/encoded` of two cameras, raw pixels or JPEG,
the position of the gripper `i/endeffector_pos`, which becomes `state` in the metadata, and the command `i/action`,
which becomes `action` there.

Dimensions: H x W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np

from dataset.acquisition.readers.files import explaining_damage, find_files, name_of
from dataset.acquisition.readers.pictures import decoded_pixels
from dataset.acquisition.readers.source import Probe, Source, SourceError, SourceFrame
from dataset.acquisition.readers.tfrecords import Feature, parse_example, read_record, record_offsets

CAMERAS = ("image_aux1", "image_main")
"""Cameras in order of preference; the first is the one that video prediction is measured on."""

RAW_SHAPES = {height * width * 3: (height, width, 3) for height, width in ((64, 64), (512, 640))}
"""Shapes of frames stored as raw pixels, by number of bytes."""

_JPEG_START = b"\xff\xd8\xff"


def find(path: Path) -> list[Source]:
    """Return the records of the .tfrecord and .tfrecords files at a path."""
    return [
        BairVideo(f"{name_of(file, path)}[{number}]", file, offset)
        for file in find_files(path, {".tfrecord", ".tfrecords"})
        for number, offset in enumerate(record_offsets(file))
    ]


@dataclass(frozen=True)
class BairVideo:
    """One record, at `offset` bytes in a file."""

    name: str
    file: Path
    offset: int

    def probe(self) -> Probe:
        """Read the record and decode its first frame.

        Raises:
            SourceError: it is damaged or of another kind.
        """
        record = self._read()
        height, width, _ = record.pixels(0).shape
        return Probe(width, height, None, record.num_frames)

    def frames(self) -> Iterator[SourceFrame]:
        """Yield the frames with their metadata.

        Raises:
            SourceError: a frame is damaged.
        """
        record = self._read()
        for index in range(record.num_frames):
            yield SourceFrame(record.pixels(index), metadata=record.metadata(index))

    def _read(self) -> "_Record":
        with explaining_damage(self.name):
            features = parse_example(read_record(self.file, self.offset))
        camera = next((camera for camera in CAMERAS if f"0/{camera}/encoded" in features), None)
        if camera is None:
            raise SourceError(
                f"{self.name}: is no video of the BAIR data set, having no feature 0/{CAMERAS[0]}/encoded; remove it"
            )
        return _Record(self.name, camera, features)


@dataclass(frozen=True)
class _Record:
    """Features of one video and the selected camera."""

    name: str
    camera: str
    features: dict[str, Feature]

    @property
    def num_frames(self) -> int:
        return next(index for index in count() if f"{index}/{self.camera}/encoded" not in self.features)

    def pixels(self, index: int) -> np.ndarray:
        """Decode frame `index`, uint8 (H, W, 3).

        Raises:
            SourceError: it is damaged.
        """
        name = f"{self.name}: frame {index}"
        feature = self.features[f"{index}/{self.camera}/encoded"]
        encoded = feature[0] if isinstance(feature, list) else b""
        if len(encoded) in RAW_SHAPES and not encoded.startswith(_JPEG_START):
            return np.frombuffer(encoded, np.uint8).reshape(RAW_SHAPES[len(encoded)])
        return decoded_pixels(name, encoded)

    def metadata(self, index: int) -> dict[str, list[float]]:
        """Return the `state` and `action` of frame `index`, where present."""
        vectors = {"state": f"{index}/endeffector_pos", "action": f"{index}/action"}
        known = {key: self.features.get(name) for key, name in vectors.items()}
        return {key: vector.tolist() for key, vector in known.items() if isinstance(vector, np.ndarray)}
