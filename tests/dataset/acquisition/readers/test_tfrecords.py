from pathlib import Path

import numpy as np
import pytest
from google_crc32c import value as crc32c

from dataset.acquisition.readers.tfrecords import (
    RecordError,
    masked_crc32c,
    parse_example,
    read_record,
    record_offsets,
)
from tests.dataset.acquisition.readers.tfrecord_files import example, write_records

RECORDS = (b"", b"one", np.random.default_rng(0).bytes(1000))


@pytest.mark.parametrize(
    ("data", "checksum"),
    [  # RFC 3720, appendix B.4, and the check value of the CRC-32C
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(reversed(range(32))), 0x113FDB5C),
        (b"123456789", 0xE3069283),
        (b"", 0),
    ],
)
def test_published_checksums(data: bytes, checksum: int) -> None:
    assert crc32c(data) == checksum


@pytest.mark.parametrize("length", [1, 3, 4, 99, 100, 101, 5000])
def test_checksums_of_all_lengths_equal_those_taken_bit_by_bit(length: int) -> None:
    data = np.random.default_rng(length).bytes(length)
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = (register >> 1) ^ (0x82F63B78 if register & 1 else 0)
    assert crc32c(data) == register ^ 0xFFFFFFFF


def test_mask_turns_by_15_bits_and_adds_a_constant() -> None:
    bits = f"{crc32c(b'123456789'):032b}"
    assert masked_crc32c(b"123456789") == (int(bits[-15:] + bits[:-15], 2) + 0xA282EAD8) % 2**32


def test_records_are_read_from_their_offsets(tmp_path: Path) -> None:
    file = write_records(tmp_path / "a.tfrecord", *RECORDS)
    offsets = record_offsets(file)
    assert offsets == [0, 16, 35]
    assert [read_record(file, offset) for offset in offsets] == list(RECORDS)


@pytest.mark.parametrize("position", [0, 11, 12, 500, -1])
def test_a_changed_byte_is_found(tmp_path: Path, position: int) -> None:
    file = write_records(tmp_path / "a.tfrecord", RECORDS[2])
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    with pytest.raises(RecordError, match="a checksum does not fit its data"):
        read_record(file, 0)


@pytest.mark.parametrize("length", [5, 12, 900])
def test_a_record_that_is_cut_off_is_found(tmp_path: Path, length: int) -> None:
    file = write_records(tmp_path / "a.tfrecord", RECORDS[2])
    file.write_bytes(file.read_bytes()[:length])
    assert record_offsets(file) == [0]
    with pytest.raises(RecordError, match="the file ends within a record"):
        read_record(file, 0)


def test_behind_a_damaged_length_no_records_are_looked_for(tmp_path: Path) -> None:
    file = write_records(tmp_path / "a.tfrecord", *RECORDS)
    content = bytearray(file.read_bytes())
    content[16] ^= 1
    file.write_bytes(content)
    assert record_offsets(file) == [0, 16]


def test_a_record_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    length = (2**40).to_bytes(8, "little")
    file = tmp_path / "a.tfrecord"
    file.write_bytes(length + masked_crc32c(length).to_bytes(4, "little"))
    with pytest.raises(RecordError, match="is too large"):
        read_record(file, 0)


def test_features_are_parsed() -> None:
    features = parse_example(example({"picture": bytes(300), "ä": [1.5, -2.25], "number": [3, -1], "none": b""}))
    assert features["picture"] == [bytes(300)]
    assert features["none"] == [b""]
    floats = features["ä"]
    assert isinstance(floats, np.ndarray)
    assert floats.tolist() == [1.5, -2.25]
    assert len(features["number"]) == 0


def test_floats_that_are_not_packed_are_parsed() -> None:
    floats = b"".join(b"\x0d" + np.float32(value).tobytes() for value in (1.5, -2.25))
    feature = b"\x12" + bytes([len(floats)]) + floats
    entry = b"\x0a\x01x" + b"\x12" + bytes([len(feature)]) + feature
    features = b"\x0a" + bytes([len(entry)]) + entry
    parsed = parse_example(b"\x0a" + bytes([len(features)]) + features)["x"]
    assert isinstance(parsed, np.ndarray)
    assert parsed.tolist() == [1.5, -2.25]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x0a\x7f", "a field is cut off"),
        (b"\x0a\xff", "a number is cut off"),
        (b"\x08" + b"\xff" * 10, "a number is cut off"),
        (b"\x0b", "unknown wire type 3"),
        (b"\x0d\x00", "a field is cut off"),
        (b"\x0a\x02\x0a\x00", "a feature has no name or no value"),
        (b"\x0a\x07\x0a\x05\x0a\x01\xff\x12\x00", "the name of a feature is no text"),
        (b"\x0a\x0c\x0a\x0a\x0a\x01x\x12\x05\x12\x03\x0a\x01\x00", "a list of floats is cut off"),
    ],
)
def test_damaged_messages_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(RecordError, match=reason):
        parse_example(data)
