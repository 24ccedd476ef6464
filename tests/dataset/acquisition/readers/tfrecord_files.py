"""TFRecord files with `tf.train.Example` messages, written by Google's own protocol buffers."""

import struct
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from dataset.acquisition.readers.tfrecords import masked_crc32c

Field = descriptor_pb2.FieldDescriptorProto


def write_records(file: Path, *records: bytes) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        for data in records:
            length = struct.pack("<Q", len(data))
            stream.write(length + struct.pack("<I", masked_crc32c(length)))
            stream.write(data + struct.pack("<I", masked_crc32c(data)))
    return file


def example(features: Mapping[str, bytes | Sequence[float] | Sequence[int]]) -> bytes:
    """A message of byte strings, floats and whole numbers."""
    message = _example_class()()
    for name, value in features.items():
        entry = message.features.feature.add(key=name)
        if isinstance(value, bytes):
            entry.value.bytes_list.value.append(value)
        elif isinstance(value[0], float):
            entry.value.float_list.value.extend(value)
        else:
            entry.value.int64_list.value.extend(value)
    return message.SerializeToString()


def bair_features(
    pictures: Sequence[bytes], states: np.ndarray, actions: np.ndarray, camera: str = "image_aux1"
) -> dict[str, Any]:
    """The features of a video with encoded pictures (T), states (T, 3) and actions (T, 4)."""
    features: dict[str, Any] = {}
    for index, picture in enumerate(pictures):
        features[f"{index}/{camera}/encoded"] = picture
        features[f"{index}/endeffector_pos"] = states[index].tolist()
        features[f"{index}/action"] = actions[index].tolist()
    return features


@cache
def _example_class() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="test", syntax="proto3")

    def message(name: str, **fields: tuple[int, Any, str | None, bool]) -> None:
        described = file.message_type.add(name=name)
        for field, (number, kind, type_name, is_repeated) in fields.items():
            label = Field.LABEL_REPEATED if is_repeated else Field.LABEL_OPTIONAL
            described.field.add(name=field, number=number, type=kind, type_name=type_name, label=label)

    message("BytesList", value=(1, Field.TYPE_BYTES, None, True))
    message("FloatList", value=(1, Field.TYPE_FLOAT, None, True))
    message("Int64List", value=(1, Field.TYPE_INT64, None, True))
    message(
        "Feature",
        bytes_list=(1, Field.TYPE_MESSAGE, ".test.BytesList", False),
        float_list=(2, Field.TYPE_MESSAGE, ".test.FloatList", False),
        int64_list=(3, Field.TYPE_MESSAGE, ".test.Int64List", False),
    )
    message("Entry", key=(1, Field.TYPE_STRING, None, False), value=(2, Field.TYPE_MESSAGE, ".test.Feature", False))
    message("Features", feature=(1, Field.TYPE_MESSAGE, ".test.Entry", True))
    message("Example", features=(1, Field.TYPE_MESSAGE, ".test.Features", False))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("test.Example"))
