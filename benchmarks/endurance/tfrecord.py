"""TFRecord files as BAIR's, written without TensorFlow."""

import struct
from collections.abc import Mapping
from pathlib import Path

from dataset.acquisition.readers.tfrecords import masked_crc32c


def write_tfrecord(path: Path, features: Mapping[str, bytes]) -> None:
    """Write a file with one `tf.train.Example` of byte strings."""
    entries = [_field(1, key.encode()) + _field(2, _field(1, _field(1, value))) for key, value in features.items()]
    data = _field(1, b"".join(_field(1, entry) for entry in entries))
    length = struct.pack("<Q", len(data))
    path.write_bytes(length + _checksum(length) + data + _checksum(data))


def claim_exabytes(path: Path) -> None:
    """Declare a record of 2**62 bytes; the checksum fits."""
    length = struct.pack("<Q", 2**62)
    path.write_bytes(length + _checksum(length) + path.read_bytes()[12:])


def _checksum(data: bytes) -> bytes:
    return struct.pack("<I", masked_crc32c(data))


def _field(number: int, data: bytes) -> bytes:
    """Encode a field that is delimited by its length."""
    return bytes([number << 3 | 2]) + _variable_length(len(data)) + data


def _variable_length(value: int) -> bytes:
    parts = [value & 127]
    while value := value >> 7:
        parts[-1] |= 128
        parts.append(value & 127)
    return bytes(parts)
