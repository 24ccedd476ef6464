from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dataset.acquisition.tennis.split_and_resize_video import split_video
from tests.dataset.acquisition.tennis.numbered_match import SEGMENT_SECONDS, write_match


class RequestHandler(SimpleHTTPRequestHandler):
    """As strict as the servers of the web about slashes."""

    def do_GET(self) -> None:
        if "//" in self.path:
            self.send_error(404)
        else:
            super().do_GET()

    def log_message(self, *_: object) -> None:
        """Keep requests off the terminal."""


@pytest.fixture(scope="module")
def matches(each_ffmpeg: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The matches `first.mp4` (match 1) and `second.mp4` (match 2), not to be changed."""
    folder = tmp_path_factory.mktemp(f"matches_{each_ffmpeg}")
    write_match(folder / "first.mp4", match=1)
    write_match(folder / "second.mp4", match=2)
    return folder


@pytest.fixture(scope="module")
def segments(matches: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both matches in segments of 60, 60, 60 and 20 frames, not to be changed."""
    folder = tmp_path_factory.mktemp("segments")
    for match in matches.iterdir():
        split_video(match, folder, SEGMENT_SECONDS)
    return folder


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Serves folders over HTTP and returns their addresses."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    servers = []

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(RequestHandler, directory=str(folder)))
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
