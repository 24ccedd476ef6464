"""A local web server for an exported page, with the headers that the page needs to use threads."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from utils.command import UserError, tell

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8000

LOOPBACK_NAMES = frozenset(["localhost", LOOPBACK, "::1"])
"""Hosts that requests may ask for. Another one's name may lead here too, with which its pages would read these."""

HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",  # together with the next one, browsers allow threads
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "frame-ancestors 'none'",  # the page itself says the rest
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}


class PageHandler(SimpleHTTPRequestHandler):
    """Serves the files of one folder and nothing else."""

    protocol_version = "HTTP/1.1"
    extensions_map = {  # noqa: RUF012 as in the base class
        ".html": "text/html; charset=utf-8",
        ".css": "text/css; charset=utf-8",
        ".js": "text/javascript; charset=utf-8",
        ".mjs": "text/javascript; charset=utf-8",
        ".json": "application/json",
        ".wasm": "application/wasm",
        ".png": "image/png",
        "": "application/octet-stream",
    }

    def send_head(self) -> Any:
        """Answer 404 to invalid paths and to links that lead out of the folder, and 421 to requests of other hosts."""
        if not self._is_for_this_host():
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        path = self.translate_path(self.path)
        if "\0" in path or not Path(path).resolve().is_relative_to(Path(self.directory).resolve()):
            return self.send_error(HTTPStatus.NOT_FOUND)
        return super().send_head()

    def _is_for_this_host(self) -> bool:
        hosts = self.headers.get_all("Host") or []
        try:
            return len(hosts) == 1 and urlsplit(f"//{hosts[0]}").hostname in LOOPBACK_NAMES
        except ValueError:
            return False

    def list_directory(self, path: str | os.PathLike[str]) -> None:  # noqa: ARG002
        """Disable directory listings: answer 404."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Add `HEADERS` to every answer."""
        for name, value in HEADERS.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class PageServer(ThreadingHTTPServer):
    """Serves a folder on the loopback interface; port 0 takes a free one."""

    daemon_threads = True

    def __init__(self, directory: Path, port: int = 0) -> None:
        """Listen on a port.

        Raises:
            UserError: the port is taken, reserved or invalid.
        """
        try:
            super().__init__((LOOPBACK, port), partial(PageHandler, directory=str(directory)))
        except (OSError, OverflowError) as error:
            raise UserError(f"--port {port}: {getattr(error, 'strerror', error)}; choose another port") from error

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://{LOOPBACK}:{self.server_port}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless a browser has just closed the connection."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def serve(directory: Path, port: int = DEFAULT_PORT) -> None:
    """Serve an exported folder until Ctrl-C.

    Raises:
        UserError: the port is taken, reserved or invalid.
    """
    with PageServer(directory, port) as server:
        tell(f"play at {server.url}    (Ctrl-C ends)")
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()


@contextlib.contextmanager
def serving(directory: Path) -> Iterator[str]:
    """Serve an exported folder on a free port within a `with` block, which gets the page's address."""
    with PageServer(directory) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.url
        finally:
            server.shutdown()
            thread.join()
