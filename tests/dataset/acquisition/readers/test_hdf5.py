import io
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from dataset.acquisition.readers import hdf5
from dataset.acquisition.readers.source import Probe, Source, SourceError
from utils.command import UserError

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 7, 10, 12, 3), np.uint8)


def write(file: Path, **arrays: Any) -> Path:
    with h5py.File(file, "w") as content:
        for name, array in arrays.items():
            content[name] = array
    return file


def refused(file: Path) -> str:
    (source,) = hdf5.find(file)
    with pytest.raises(SourceError) as probed:
        source.probe()
    with pytest.raises(SourceError) as read:
        list(source.frames())
    assert str(probed.value) == str(read.value)
    return str(probed.value)


@pytest.mark.parametrize("key", ["images", "frames"])
def test_one_video(tmp_path: Path, key: str) -> None:
    (source,) = hdf5.find(write(tmp_path / "a.h5", **{key: FRAMES[0]}))
    assert source.name == "a.h5"
    assert source.probe() == Probe(12, 10, None, 7)
    frames = list(source.frames())
    assert np.array_equal([frame.pixels for frame in frames], FRAMES[0])
    assert all(frame.action is None and frame.metadata is None for frame in frames)


def test_several_videos_with_actions(tmp_path: Path) -> None:
    actions = np.arange(14, dtype=np.int32).reshape(2, 7)
    sources = hdf5.find(write(tmp_path / "a.hdf5", images=FRAMES, actions=actions).parent)
    assert [source.name for source in sources] == ["a.hdf5[0]", "a.hdf5[1]"]
    for video, source in enumerate(sources):
        frames = list(source.frames())
        assert source.probe() == Probe(12, 10, None, 7)
        assert np.array_equal([frame.pixels for frame in frames], FRAMES[video])
        assert [frame.action for frame in frames] == actions[video].tolist()


def test_action_vectors_become_metadata(tmp_path: Path) -> None:
    actions = np.arange(14, dtype=np.float32).reshape(7, 2)
    (source,) = hdf5.find(write(tmp_path / "a.h5", images=FRAMES[0], actions=actions))
    frames = list(source.frames())
    assert [frame.metadata for frame in frames] == [{"action": [2.0 * t, 2.0 * t + 1]} for t in range(7)]
    assert all(frame.action is None for frame in frames)


@pytest.mark.parametrize("chunk_length", [1, 3, 7])
def test_compressed_chunks(tmp_path: Path, chunk_length: int) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as content:
        content.create_dataset("images", data=FRAMES[0], chunks=(chunk_length, 10, 12, 3), compression="gzip")
        content["actions"] = np.arange(7)
    frames = list(hdf5.find(tmp_path)[0].frames())
    assert np.array_equal([frame.pixels for frame in frames], FRAMES[0])
    assert [frame.action for frame in frames] == list(range(7))


def test_long_chunks_are_read_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_MAX_CHUNK_BYTES", 3 * 10 * 12 * 3)
    with h5py.File(tmp_path / "a.h5", "w") as content:
        content.create_dataset("images", data=FRAMES[0], chunks=(7, 1, 12, 3))
    assert np.array_equal([frame.pixels for frame in hdf5.find(tmp_path)[0].frames()], FRAMES[0])


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"pictures": FRAMES[0]}, "has no array named images or frames"),
        ({"images": FRAMES[0].astype(np.float32)}, r"the frames are float32 (7, 10, 12, 3); store them as uint8"),
        ({"images": FRAMES[0, ..., 0]}, "the frames are uint8 (7, 10, 12)"),
        ({"images": FRAMES[0, ..., :1]}, "the frames are uint8 (7, 10, 12, 1)"),
        ({"images": FRAMES[0, :0]}, "an array of (0, 10, 12, 3) is empty or too long"),
        ({"images": FRAMES[0], "actions": np.zeros(6)}, "the actions are float64 (6,); store (7,) numbers"),
        ({"images": FRAMES[0], "actions": np.zeros((7, 2000))}, "actions of 2000 dimensions"),
        ({"images": FRAMES[0], "actions": [b"left"] * 7}, "the actions are object (7,)"),
    ],
)
def test_arrays_of_another_kind_are_refused(tmp_path: Path, arrays: dict[str, Any], reason: str) -> None:
    message = refused(write(tmp_path / "a.h5", **arrays))
    assert message.startswith("a.h5: ")
    assert reason in message


def write_robomimic(file: Path) -> Path:
    """Three demonstrations with two cameras each."""
    with h5py.File(file, "w") as content:
        for number in (0, 2, 10):
            demo = content.create_group(f"data/demo_{number}")
            demo["actions"] = np.full((7, 2), number, np.float32)
            demo["obs/agentview_image"] = FRAMES[0] // (number + 1)
            demo["obs/eye_in_hand_image"] = FRAMES[1]
            demo["obs/eef_pos"] = np.zeros((7, 3))
    return file


def test_arrays_of_demonstrations_are_listed_and_chosen_by_their_path(tmp_path: Path) -> None:
    file = write_robomimic(tmp_path / "demo.hdf5")
    message = refused(file)
    assert f"choose the array of the frames, as in --videos '{file}/data/*/obs/agentview_image'; " in message
    assert message.endswith(
        "there are data/*/obs/agentview_image (7, 10, 12, 3), data/*/obs/eye_in_hand_image (7, 10, 12, 3)"
    )
    sources = hdf5.find(file / "data/*/obs/agentview_image")
    numbers = (0, 2, 10)
    assert [source.name for source in sources] == [f"demo.hdf5/data/demo_{n}/obs/agentview_image" for n in numbers]
    for number, source in zip(numbers, sources, strict=True):
        assert source.probe() == Probe(12, 10, None, 7)
        frames = list(source.frames())
        assert np.array_equal([frame.pixels for frame in frames], FRAMES[0] // (number + 1))
        assert frames[3].metadata == {"action": [number, number]}
    assert len(hdf5.find(file / "data/demo_2/obs/eye_in_hand_image")) == 1
    (missing,) = hdf5.find(file / "data/demo_2/obs/left")
    with pytest.raises(SourceError, match="left: there is no such array; choose"):
        missing.probe()


def test_an_array_is_chosen_in_each_file_of_a_folder(tmp_path: Path) -> None:
    encoded = [io.BytesIO() for _ in FRAMES[0]]
    for frame, file in zip(FRAMES[0], encoded, strict=True):
        Image.fromarray(frame).save(file, "PNG")
    longest = max(file.tell() for file in encoded)
    padded = np.stack([np.frombuffer(file.getvalue().ljust(longest, b"\0"), np.uint8) for file in encoded])
    for number, images in enumerate((FRAMES[0], padded)):
        with h5py.File(tmp_path / f"episode_{number}.hdf5", "w") as content:
            content["observations/images/cam_high"] = images
            content["action"] = np.arange(7)
    sources = hdf5.find(tmp_path / "observations/images/cam_high")
    assert [source.name for source in sources] == [
        f"episode_{number}.hdf5/observations/images/cam_high" for number in range(2)
    ]
    for source in sources:
        assert source.probe() == Probe(12, 10, None, 7)
        assert np.array_equal([frame.pixels for frame in source.frames()], FRAMES[0])
        assert [frame.action for frame in source.frames()] == list(range(7))
    assert hdf5.find(tmp_path / "missing") == []
    assert f"--videos '{tmp_path}/observations/images/cam_high'" in str(reason_of(hdf5.find(tmp_path)[0]))


def reason_of(source: Source) -> SourceError:
    with pytest.raises(SourceError) as error:
        source.probe()
    return error.value


def test_links_to_other_files_cannot_be_chosen(tmp_path: Path) -> None:
    write(tmp_path / "secret.h5", images=FRAMES[0])
    with h5py.File(tmp_path / "link.h5", "w") as content:
        content["group"] = h5py.ExternalLink("secret.h5", "/")
    (source,) = hdf5.find(tmp_path / "link.h5" / "group/images")
    assert "there is no such array; it holds no arrays at all" in str(reason_of(source))


def test_objects_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as content:
        content.create_dataset("images", shape=(7, 10, 12, 3), dtype=h5py.vlen_dtype(np.uint8))
    assert "the frames are object" in refused(tmp_path / "a.h5")


def test_arrays_outside_of_the_file_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "secret.h5", images=FRAMES[0])
    (tmp_path / "secret.bin").write_bytes(FRAMES[0].tobytes())
    layout = h5py.VirtualLayout(FRAMES[0].shape, np.uint8)
    layout[:] = h5py.VirtualSource(tmp_path / "secret.h5", "images", FRAMES[0].shape)
    with h5py.File(tmp_path / "link.h5", "w") as content:
        content["images"] = h5py.ExternalLink("secret.h5", "images")
    with h5py.File(tmp_path / "virtual.h5", "w") as content:
        content.create_virtual_dataset("images", layout)
    with h5py.File(tmp_path / "external.h5", "w") as content:
        content.create_dataset("images", FRAMES[0].shape, np.uint8, external=[(str(tmp_path / "secret.bin"), 0, 2520)])
    for name in ("link", "virtual", "external"):
        assert "'images' is not an array within this file" in refused(tmp_path / f"{name}.h5")


def test_what_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "chunks.h5", "w") as content:
        content.create_dataset("images", (64, 4096, 4096, 3), np.uint8, chunks=(64, 4096, 4096, 3))
    with h5py.File(tmp_path / "frames.h5", "w") as content:
        content.create_dataset("images", (1, 2**17, 2**17, 3), np.uint8, chunks=(1, 64, 64, 3))
    with h5py.File(tmp_path / "videos.h5", "w") as content:
        content.create_dataset("images", (2**40, 7, 8, 8, 3), np.uint8, chunks=(1, 1, 8, 8, 3))
    assert "is empty or too long" in refused(tmp_path / "videos.h5")
    assert "which are too large" in refused(tmp_path / "chunks.h5")
    assert "frames of 131072 x 131072 pixels are empty or too large" in refused(tmp_path / "frames.h5")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.h5", images=FRAMES[0])
    file.write_bytes(file.read_bytes()[:1000])
    assert refused(file).startswith("a.h5: cannot be read: ")


def test_frames_before_a_damaged_chunk_are_intact(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as content:
        images = content.create_dataset("images", data=FRAMES[0], chunks=(2, 10, 12, 3), fletcher32=True)
        offset = images.id.get_chunk_info(1).byte_offset
    with (tmp_path / "a.h5").open("r+b") as stream:
        stream.seek(offset)
        stream.write(b"damage")
    frames = hdf5.find(tmp_path)[0].frames()
    assert np.array_equal([next(frames).pixels for _ in range(2)], FRAMES[0, :2])
    with pytest.raises(SourceError, match=r"^a\.h5: frames from 2 on: cannot be read"):
        next(frames)


def test_without_h5py_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hdf5.find(tmp_path) == []
    write(tmp_path / "a.h5", images=FRAMES[0])
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(UserError, match="pip install h5py"):
        hdf5.find(tmp_path)
