import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.acquisition.readers import bair_tfrecord
from dataset.acquisition.readers.source import Probe, SourceError
from tests.dataset.acquisition.readers.tfrecord_files import bair_features, example, write_records

RANDOM = np.random.default_rng(0)
FRAMES = RANDOM.integers(0, 256, (3, 64, 64, 3), np.uint8)
STATES = RANDOM.random((3, 3)).astype(np.float32).astype(float)
ACTIONS = RANDOM.random((3, 4)).astype(np.float32).astype(float)


def raw_video(frames: np.ndarray = FRAMES, camera: str = "image_aux1") -> dict[str, Any]:
    return bair_features([frame.tobytes() for frame in frames], STATES, ACTIONS, camera)


def test_frames_states_and_actions(tmp_path: Path) -> None:
    shuffled = dict(reversed(raw_video(FRAMES).items()))
    write_records(tmp_path / "train" / "traj_0_to_255.tfrecords", example(shuffled), example(raw_video(FRAMES[:2])))
    sources = bair_tfrecord.find(tmp_path)
    assert [source.name for source in sources] == [f"train/traj_0_to_255.tfrecords[{index}]" for index in (0, 1)]
    assert [source.probe() for source in sources] == [Probe(64, 64, None, 3), Probe(64, 64, None, 2)]
    frames = list(sources[0].frames())
    assert np.array_equal([frame.pixels for frame in frames], FRAMES)
    expected = [{"state": s, "action": a} for s, a in zip(STATES.tolist(), ACTIONS.tolist(), strict=True)]
    assert [frame.metadata for frame in frames] == expected
    assert all(frame.action is None for frame in frames)


def test_large_raw_frames(tmp_path: Path) -> None:
    frames = RANDOM.integers(0, 256, (1, 512, 640, 3), np.uint8)
    (source,) = bair_tfrecord.find(write_records(tmp_path / "a.tfrecord", example(raw_video(frames))))
    assert source.probe() == Probe(640, 512, None, 1)
    assert np.array_equal(next(source.frames()).pixels, frames[0])


def test_jpeg_frames(tmp_path: Path) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (640, 512), (200, 100, 50)).save(picture, "jpeg", quality=95)
    features = bair_features([picture.getvalue()] * 2, STATES, ACTIONS)
    (source,) = bair_tfrecord.find(write_records(tmp_path / "a.tfrecords", example(features)))
    assert source.probe() == Probe(640, 512, None, 2)
    for frame in source.frames():
        assert np.abs(frame.pixels.astype(int) - (200, 100, 50)).max() <= 3


def test_of_two_cameras_the_first_known_one_is_taken(tmp_path: Path) -> None:
    both = {**raw_video(FRAMES[::-1], "image_main"), **raw_video(FRAMES, "image_aux1")}
    file = write_records(tmp_path / "a.tfrecords", example(both), example(raw_video(FRAMES, "image_main")))
    for source in bair_tfrecord.find(file):
        assert np.array_equal([frame.pixels for frame in source.frames()], FRAMES)


def test_without_state_and_action_there_is_no_metadata(tmp_path: Path) -> None:
    file = write_records(tmp_path / "a.tfrecords", example({"0/image_main/encoded": FRAMES[0].tobytes()}))
    assert next(bair_tfrecord.find(file)[0].frames()).metadata == {}


def test_a_damaged_record_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    records = [example(raw_video(FRAMES[:1]))] * 3
    file = write_records(tmp_path / "a.tfrecords", *records)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    first, second, third = bair_tfrecord.find(file)
    assert first.probe() == third.probe() == Probe(64, 64, None, 1)
    with pytest.raises(SourceError, match=r"^a\.tfrecords\[1\]: cannot be read: a checksum does not fit its data$"):
        second.probe()


def test_records_of_another_kind_are_refused(tmp_path: Path) -> None:
    file = write_records(tmp_path / "a.tfrecords", example({"image": b"x"}))
    with pytest.raises(SourceError, match="is no video of the BAIR data set, having no feature 0/image_aux1/encoded"):
        bair_tfrecord.find(file)[0].probe()


@pytest.mark.parametrize("picture", [b"", b"no picture", FRAMES[0].tobytes()[:-1]])
def test_a_damaged_frame_is_named(tmp_path: Path, picture: bytes) -> None:
    pictures = [FRAMES[0].tobytes(), picture]
    file = write_records(tmp_path / "a.tfrecords", example(bair_features(pictures, STATES, ACTIONS)))
    frames = bair_tfrecord.find(file)[0].frames()
    assert np.array_equal(next(frames).pixels, FRAMES[0])
    with pytest.raises(SourceError, match=r"a\.tfrecords\[0\]: frame 1: cannot be read: "):
        next(frames)
