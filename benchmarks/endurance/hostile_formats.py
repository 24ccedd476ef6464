"""The formats that are read: how a whole file is made, what it may be made to hold, and what reads it."""

import hashlib
import io
import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.endurance import gadgets
from benchmarks.endurance.children import Child, Command, Main, name_of
from benchmarks.endurance.hostile_readers import read_configuration, read_footage, read_shards
from benchmarks.endurance.miniature import CLIPS, CONFIG, DATA, RUN_NAME, arguments
from benchmarks.endurance.tfrecord import claim_exabytes, write_tfrecord
from dataset import inspect
from dataset.acquisition import shard
from dataset.authors_layout import convert_to_authors_layout
from utils.checkpoint import load_checkpoint
from utils.command import EXIT_DONE, UserError
from utils.ffmpeg_program import ffmpeg_command

Change = Callable[[Path], object]
"""What makes a file at a path, which is whole, hostile."""


@dataclass(frozen=True)
class Format:
    """A kind of file."""

    files: tuple[str, ...]
    """The folder or file of the prepared folder that a case is a copy of, and the file in it that is changed."""
    reader: Main
    arguments: list[str]
    changes: Mapping[str, Change] = field(default_factory=dict)
    """Particular to this format, by what they do."""


VIDEO = f"{DATA}/test/00000"
LEROBOT_TABLE = "lerobot/data/chunk-000/file-000.parquet"
BAIR = (4, 64, 64, 3)
"""Shape of the frames of BAIR's files, which are not encoded."""
CHECKPOINT = f"checkpoints/{RUN_NAME}/latest.pth.tar"


def formats(prepared: Path) -> dict[str, Format]:
    """Write whole files of every format into the prepared folder, and return the formats by name.

    Raises:
        UserError: one cannot be written.
    """
    _write_others(prepared)
    whole = load_checkpoint(prepared / CHECKPOINT)
    inspected = [str(Path(VIDEO).parent)]
    played = [*arguments(), "--headless", "--actions", "1,2", "--no_recording"]
    return {
        "video mp4": Format((CLIPS, "0.mp4"), read_footage, [CLIPS], _texts(_PLAYLISTS)),
        "video avi": Format(("avi", "a.avi"), read_footage, ["avi"], _texts(_PLAYLISTS)),
        "frames png": Format((VIDEO, "00003.png"), inspect.main, inspected, {"gigantic": _gigantic_png}),
        "frames jpg": Format(("jpg/test/00000", "00001.jpg"), inspect.main, ["jpg/test"], {"gigantic": _gigantic_jpg}),
        "annotations.json": Format((VIDEO, "annotations.json"), inspect.main, inspected, _texts(gadgets.JSONS)),
        "pickles": Format(
            ("pickled/test/00000", "metadata.pkl"), inspect.main, ["pickled/test"], _texts(gadgets.PICKLES)
        ),
        "checkpoint": Format(
            (f"checkpoints/{RUN_NAME}", "latest.pth.tar"), Command("play"), played, _texts(gadgets.checkpoints(whole))
        ),
        "configuration": Format(
            ("configs", "own.yaml"), read_configuration, ["configs/own.yaml"], _texts(gadgets.YAMLS)
        ),
        "shards": Format(("shards", "val-000000.tar"), read_shards, ["shards"], _ARCHIVES),
        "index of shards": Format(("shards", "shards.json"), read_shards, ["shards"], _texts(gadgets.JSONS)),
        "GIF": Format(("gif", "a.gif"), read_footage, ["gif"], {"gigantic": _gigantic_gif}),
        "TFRecord": Format(("bair", "a.tfrecords"), read_footage, ["bair"], {"exabytes": claim_exabytes}),
        "HDF5": Format(("hdf5", "a.h5"), read_footage, ["hdf5"], _HDF5),
        "LeRobot table": Format(("lerobot", LEROBOT_TABLE.partition("/")[2]), read_footage, ["lerobot"], _PARQUET),
        "LeRobot info": Format(("lerobot", "meta/info.json"), read_footage, ["lerobot"], _texts(gadgets.JSONS)),
        "play.json": Format(
            ("played", "play.json"),
            Command("play"),
            [*arguments(), "--replay", "played/play.json", "--no_recording"],
            _texts(gadgets.JSONS),
        ),
    }


def sign_shard(path: Path) -> None:
    """Have the index say what a changed shard is, as whoever changed it would."""
    index_file = path.with_name("shards.json")
    if path == index_file or not path.is_file():
        return
    index, data = json.loads(index_file.read_text()), path.read_bytes()
    for split in index["splits"].values():
        for entry in split["shards"]:
            if entry["file"] == path.name:
                entry |= {"num_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    index_file.write_text(json.dumps(index))


def _write_others(prepared: Path) -> None:
    """Write what the training does not need."""
    import h5py

    (prepared / "avi").mkdir()
    clip, avi = (str(prepared / name) for name in (f"{CLIPS}/0.mp4", "avi/a.avi"))
    subprocess.run([ffmpeg_command(), "-loglevel", "error", "-i", clip, "-c:v", "mjpeg", avi], check=True)
    (prepared / "jpg/test/00000").mkdir(parents=True)
    frames = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)
    for number, frame in enumerate(frames):
        Image.fromarray(frame).save(prepared / f"jpg/test/00000/{number:05d}.jpg")
    shutil.copytree(prepared / VIDEO, prepared / "pickled/test/00000")
    convert_to_authors_layout(prepared / "pickled/test/00000")
    (prepared / "configs").mkdir()
    shutil.copy(CONFIG, prepared / "configs/own.yaml")
    (prepared / "gif").mkdir()
    first, *others = map(Image.fromarray, frames)
    first.save(prepared / "gif/a.gif", save_all=True, append_images=others)
    (prepared / "bair").mkdir()
    write_tfrecord(
        prepared / "bair/a.tfrecords",
        {f"{number}/image_aux1/encoded": frame.tobytes() for number, frame in enumerate(np.resize(frames, BAIR))},
    )
    (prepared / "hdf5").mkdir()
    with h5py.File(prepared / "hdf5/a.h5", "w") as content:
        content.create_dataset("images", data=frames, compression="gzip")
    commands: list[tuple[Main, list[str]]] = [
        (shard.main, [f"--data_root={DATA}", "--output_directory=shards", "--clip_length=5", "--overlap=2"]),
        (Command("dataset.acquisition.export_lerobot"), [f"--data_root={DATA}/test", "--output_directory=lerobot"]),
        (Command("play"), [*arguments(), "--headless", "--actions", "1,2,3x3", "--play_root", "plays"]),
    ]
    for main, given in commands:
        ended = Child(main, given, prepared).wait()
        if ended.code != EXIT_DONE:
            raise UserError(f"{name_of(main)}: ended with {ended.code}: {ended.complaint}")
    (played,) = prepared.glob("plays/*/*/*")
    played.rename(prepared / "played")


def _texts(contents: Mapping[str, str | bytes]) -> dict[str, Change]:
    """Changes each of which puts a text in a file's place."""

    def put(data: bytes) -> Change:
        return lambda path: path.write_bytes(data)

    return {name: put(data.encode() if isinstance(data, str) else data) for name, data in contents.items()}


_PLAYLISTS = {
    "a playlist": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
    "a list to join": "ffconcat version 1.0\nfile '/etc/passwd'\n",
    "a page of addresses": "[playlist]\nFile1=http://127.0.0.1:9/a.mp4\n",
}


def _gigantic_png(path: Path) -> None:
    """Declare 65000 x 65000 pixels; the checksum fits."""
    import zlib

    data = bytearray(path.read_bytes())
    data[16:24] = 2 * (65_000).to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)


def _gigantic_jpg(path: Path) -> None:
    """Declare 65000 x 65000 pixels."""
    data = bytearray(path.read_bytes())
    place = data.index(b"\xff\xc0") + 5
    data[place : place + 4] = 2 * (65_000).to_bytes(2, "big")
    path.write_bytes(data)


def _gigantic_gif(path: Path) -> None:
    """Declare 65535 x 65535 pixels, of the screen and of the first picture."""
    data = bytearray(path.read_bytes())
    data[6:10] = b"\xff" * 4
    place = data.index(b",", 13 + 3 * 2 ** ((data[10] & 7) + 1) if data[10] & 128 else 13) + 5
    data[place : place + 4] = b"\xff" * 4
    path.write_bytes(data)


def _with_member(**attributes: object) -> Change:
    """Add a member to an archive of shards, a copy of its first one with other attributes."""

    def change(path: Path) -> None:
        with tarfile.open(path) as archive:
            members = [(member, archive.extractfile(member)) for member in archive.getmembers()]
            contents = [(member, file.read() if file else b"") for member, file in members]
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as archive:
            for member, data in contents:
                archive.addfile(member, io.BytesIO(data))
            member = tarfile.TarInfo(contents[0][0].name)
            for name, value in attributes.items():
                setattr(member, name, value)
            archive.addfile(member, None)

    return change


def _nested(path: Path) -> None:
    """Be an archive that holds the archive."""
    data = path.read_bytes()
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo("000000.00000.png")
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))


_ARCHIVES: dict[str, Change] = {
    "a name outside": _with_member(name="../../../outside/trap"),
    "an absolute name": _with_member(name="/tmp/outside_of_the_folder"),
    "a symbolic link": _with_member(type=tarfile.SYMTYPE, linkname="../../../outside"),
    "a hard link": _with_member(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
    "a device": _with_member(type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "a member twice": _with_member(),
    "a nested archive": _nested,
}


def _hdf5(write: Callable[[object], object]) -> Change:
    def change(path: Path) -> None:
        import h5py

        with h5py.File(path, "w") as content:
            write(content)

    return change


def _external(content: object) -> None:
    import h5py

    content["images"] = h5py.ExternalLink("../outside/secret", "/images")  # type: ignore[index]


_HDF5: dict[str, Change] = {
    "a link to another file": _hdf5(_external),
    "raw data of another file": _hdf5(
        lambda content: content.create_dataset(  # type: ignore[attr-defined]
            "images", (4, 32, 32, 3), "u1", external=[("/etc/passwd", 0, 4 * 32 * 32 * 3)]
        )
    ),
    "endless frames": _hdf5(
        lambda content: content.create_dataset(  # type: ignore[attr-defined]
            "images", (2**40, 32, 32, 3), "u1", chunks=(1, 32, 32, 3)
        )
    ),
    "a chunk of 16 GB": _hdf5(
        lambda content: content.create_dataset(  # type: ignore[attr-defined]
            "images", (2**14, 1024, 1024, 3), "u1", chunks=(2**12, 1024, 1024, 1), compression="gzip"
        )
    ),
}


def _endless_table(path: Path) -> None:
    """Hold 160 million rows in a small file, as equal numbers take no space."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.zeros(2 * 10**7, np.int64)
    table = pa.table({"episode_index": rows, "frame_index": rows, "action": rows})
    with pq.ParquetWriter(path, table.schema) as writer:
        for _ in range(8):
            writer.write_table(table)


_PARQUET: dict[str, Change] = {"160 million rows": _endless_table}
