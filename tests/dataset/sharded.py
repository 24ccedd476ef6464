"""Shards of small videos, and a server of them that fails now and then."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

from dataset.acquisition import shard
from dataset.acquisition.shard import ShardOptions
from dataset.shards.split import ShardedSplit
from dataset.splits import find_all_videos
from dataset.video import Video

LENGTHS = (9, 16, 4, 12, 7, 11)
OBSERVATIONS = 3
CLIPS = ShardOptions(shard_size=14_000, clip_length=6, overlap=OBSERVATIONS - 1)
"""Two clips fit into a shard."""


def write_shards(directory: Path, videos: Sequence[Video], options: ShardOptions = CLIPS) -> Path:
    directory.mkdir()
    shard.write_shards(shard.plan_shards({"train": videos}, options), directory)
    return directory


def shard_data_set(data_root: Path, directory: Path, options: ShardOptions) -> Path:
    """Write all splits of a data set as shards."""
    directory.mkdir()
    videos = {split: [Video(path) for path in paths] for split, paths in find_all_videos(data_root).items()}
    shard.write_shards(shard.plan_shards(videos, options), directory)
    return directory


def open_split(
    root: Path | str, stacking: int = 1, cache: str = "none", observations: int = OBSERVATIONS
) -> ShardedSplit:
    return ShardedSplit(
        str(root),
        "train",
        crop=[0, 0, 12, 10],
        size=[12, 10],
        observations_count=observations,
        observation_stacking=stacking,
        cache=cache,  # type: ignore[arg-type]
    )


@dataclass
class Server:
    """Serves a folder over HTTP on this machine, as a bucket of S3 too."""

    url: str
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """What goes wrong at the next requests for a file: `status 500`, `cut`, `wrong` or `endless`."""
    requests: Counter[str] = field(default_factory=Counter)
    """How often each file was asked for."""


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def __init__(self, *arguments: Any, served: Server, **options: Any) -> None:
        self._served = served
        super().__init__(*arguments, **options)

    def do_HEAD(self) -> None:
        if contents := self._contents():
            self._send(b"", len(contents))
        else:
            self.send_error(404)

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self._served.requests[name] += 1
        faults = self._served.faults[name]
        fault = faults.pop(0) if faults else ""
        contents = self._contents()
        if fault.startswith("status"):
            self.send_error(int(fault.split()[1]))
        elif not contents:
            self.send_error(404)
        elif fault == "endless":
            self._send(contents + b"more" * len(contents), None)
        else:
            sent = {"cut": contents[: len(contents) // 2], "wrong": contents[::-1]}.get(fault, contents)
            self._send(sent, len(contents))

    def _contents(self) -> bytes:
        """The part of a file that is asked for; nothing if there is no such file."""
        path = Path(self.translate_path(self.path))
        contents = path.read_bytes() if path.is_file() else b""
        if part := re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", "")):
            first, last = map(int, part.groups())
            return contents[first : last + 1]
        return contents

    def _send(self, contents: bytes, length: int | None) -> None:
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("ETag", '"unchanging"')
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(contents)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """Serve a folder until the block is left."""
    served = Server("")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder), served=served)) as server:
        served.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
