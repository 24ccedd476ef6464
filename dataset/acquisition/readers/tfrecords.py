"""Parser of TFRecord files and their `tf.train.Example` messages, without TensorFlow.

A file is a sequence of records: their length (8 bytes, little-endian), its checksum (4 bytes), the data, its checksum
(4 bytes). Checksums are CRC-32C, masked. The data of a record are a protocol buffer that maps names to lists of byte
strings, floats or integers; integers are ignored here.
"""

import struct
from collections.abc import Iterator
from pathlib import Path

import google_crc32c
import numpy as np

Feature = list[bytes] | np.ndarray
"""Byte strings, or float32 (any number)."""

_HEADER = struct.Struct("<QI")
_FOOTER = struct.Struct("<I")
_MAX_RECORD_BYTES = 2**28

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
"""Wire types of protocol buffers."""


class RecordError(ValueError):
    """A damaged record; the message says what is wrong."""


def record_offsets(file: Path) -> list[int]:
    """Return the byte offsets of the records in a file, up to and including the first with a damaged length."""
    offsets, offset, size = [], 0, file.stat().st_size
    with file.open("rb") as stream:
        while offset < size:
            offsets.append(offset)
            stream.seek(offset)
            try:
                offset += _HEADER.size + _read_length(stream.read(_HEADER.size)) + _FOOTER.size
            except RecordError:
                break
    return offsets


def read_record(file: Path, offset: int) -> bytes:
    """Return the data of the record at an offset.

    Raises:
        RecordError: it is damaged.
    """
    with file.open("rb") as stream:
        stream.seek(offset)
        length = _read_length(stream.read(_HEADER.size))
        content = stream.read(length + _FOOTER.size)
    if len(content) < length + _FOOTER.size:
        raise RecordError("the file ends within a record")
    data, (checksum,) = content[:length], _FOOTER.unpack(content[length:])
    if masked_crc32c(data) != checksum:
        raise RecordError("a checksum does not fit its data")
    return data


def _read_length(header: bytes) -> int:
    if len(header) < _HEADER.size:
        raise RecordError("the file ends within a record")
    length, checksum = _HEADER.unpack(header)
    if masked_crc32c(header[:8]) != checksum:
        raise RecordError("a checksum does not fit its data")
    if length > _MAX_RECORD_BYTES:
        raise RecordError(f"a record of {length} bytes is too large")
    return length


def masked_crc32c(data: bytes) -> int:
    """Return the masked CRC-32C of some bytes, as stored in TFRecord files."""
    checksum = google_crc32c.value(data)
    return (((checksum >> 15) | (checksum << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def parse_example(data: bytes) -> dict[str, Feature]:
    """Return the byte strings and floats of a `tf.train.Example` by name.

    Raises:
        RecordError: it is damaged.
    """
    return {
        name: feature
        for features in _messages(memoryview(data), 1)
        for entry in _messages(features, 1)
        for name, feature in [_parse_entry(entry)]
    }


def _parse_entry(entry: memoryview) -> tuple[str, Feature]:
    """Return the name and the value of one feature."""
    names, values = list(_messages(entry, 1)), list(_messages(entry, 2))
    if not names or not values:
        raise RecordError("a feature has no name or no value")
    try:
        name = str(names[-1], "utf-8")
    except UnicodeDecodeError as error:
        raise RecordError("the name of a feature is no text") from error
    strings = [bytes(string) for strings in _messages(values[-1], 1) for string in _messages(strings, 1)]
    return name, strings or _parse_floats(values[-1])


def _parse_floats(feature: memoryview) -> np.ndarray:
    """Return the floats of a feature, which are packed into one field or have a field each."""
    fields = (field for floats in _messages(feature, 2) for field in _fields(floats))
    packed = b"".join(content for number, type_, content in fields if number == 1 and type_ in (_BYTES, _FIXED32))
    if len(packed) % 4:
        raise RecordError("a list of floats is cut off")
    return np.frombuffer(packed, "<f4")


def _messages(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Iterate over the contents of a message's length-delimited fields with the number `wanted`."""
    return (content for number, type_, content in _fields(message) if (number, type_) == (wanted, _BYTES))


def _fields(message: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """Yield the number, the wire type and the bytes of each field of a message."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        start, type_ = position, key & 7
        if type_ == _VARINT:
            _, position = _varint(message, start)
        elif type_ == _BYTES:
            length, start = _varint(message, start)
            position = start + length
        elif type_ in (_FIXED32, _FIXED64):
            position = start + (4 if type_ == _FIXED32 else 8)
        else:
            raise RecordError(f"a field has the unknown wire type {type_}")
        if position > len(message):
            raise RecordError("a field is cut off")
        yield key >> 3, type_, message[start:position]


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Decode a varint, an integer of up to 64 bits in groups of 7, lowest first; return it and the next position."""
    value = 0
    for shift in range(0, 64, 7):
        if position == len(message):
            break
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise RecordError("a number is cut off")
