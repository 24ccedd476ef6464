import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from utils.command import UserError
from web.server import PageServer, serving

REPOSITORY = Path(__file__).parents[2]

TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "ort.mjs": "text/javascript; charset=utf-8",
    "ort.wasm": "application/wasm",
    "game.json": "application/json",
    "00.png": "image/png",
    "model.onnx": "application/octet-stream",
    "state.bin": "application/octet-stream",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A page with a folder in it, beside what nobody should see."""
    directory = tmp_path / "page"
    (directory / "starts").mkdir(parents=True)
    (directory / "starts/00.png").write_bytes(b"a picture")
    for name in TYPES:
        (directory / name).write_text(name)
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "page_of_another").mkdir()
    (tmp_path / "page_of_another/secret").write_text("secret")
    return directory


@pytest.fixture
def address(folder: Path) -> Iterator[str]:
    with serving(folder) as url:
        yield urlsplit(url).netloc


def answer(address: str, path: str, method: str = "GET") -> tuple[http.client.HTTPResponse, bytes]:
    """What is answered to a path, which is sent exactly as it is."""
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest(method, path)
    connection.endheaders()
    response = connection.getresponse()
    contents = response.read()
    connection.close()
    return response, contents


@pytest.mark.parametrize(("name", "kind"), TYPES.items())
def test_files_have_the_types_that_browsers_ask_for(address: str, name: str, kind: str) -> None:
    response, contents = answer(address, f"/{name}")
    assert (response.status, contents) == (200, name.encode())
    assert response.headers["Content-Type"] == kind


def test_the_page_is_at_the_root(address: str) -> None:
    assert answer(address, "/")[1] == b"index.html"
    assert answer(address, "/?backend=wasm")[1] == b"index.html"


@pytest.mark.parametrize("path", ["/", "/page.js", "/missing"])
def test_browsers_may_grant_threads(address: str, path: str) -> None:
    headers = answer(address, path)[0].headers
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (["localhost"], 200),
        (["LOCALHOST:8000"], 200),
        (["127.0.0.1:9"], 200),
        (["[::1]:8000"], 200),
        (["example.org"], 421),
        (["localhost.example.org:8000"], 421),
        (["127.0.0.1.example.org"], 421),
        (["localhost@example.org"], 421),
        (["192.168.0.2"], 421),
        (["[::1"], 421),
        ([""], 421),
        ([], 421),
        (["localhost", "example.org"], 421),
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_only_requests_for_this_host_are_answered(address: str, hosts: list[str], status: int, method: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.putrequest(method, "/page.js", skip_host=True)
    for host in hosts:
        connection.putheader("Host", host)
    connection.endheaders()
    response = connection.getresponse()
    assert response.status == status
    assert response.headers["Content-Security-Policy"] == "frame-ancestors 'none'"
    assert (b"page.js" in response.read()) == (status == 200 and method == "GET")
    connection.close()


def test_folders_are_not_listed(address: str) -> None:
    response, contents = answer(address, "/starts/")
    assert response.status == 404
    assert b"00.png" not in contents


@pytest.mark.parametrize(
    "path",
    [
        "/../secret",
        "/%2e%2e/secret",
        "/..%2fsecret",
        "/starts/../../secret",
        "/starts/%2e%2e/%2e%2e/secret",
        "//secret",
        "/..%5csecret",
        "/%00",
        "/../page_of_another/secret",
    ],
)
def test_nothing_outside_the_folder_is_told(address: str, path: str) -> None:
    response, contents = answer(address, path)
    assert response.status == 404
    assert b"secret" not in contents


@pytest.mark.parametrize("target", ["../secret", "../page_of_another"])
def test_links_out_of_the_folder_are_not_followed(address: str, folder: Path, target: str) -> None:
    (folder / "link").symlink_to(target)
    for path in ("/link", "/link/", "/link/secret"):
        response, contents = answer(address, path)
        assert (response.status, b"secret" in contents) == (404, False)


def test_links_within_the_folder_are_followed(address: str, folder: Path) -> None:
    (folder / "link.js").symlink_to("page.js")
    assert answer(address, "/link.js")[1] == b"page.js"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_nothing_can_be_changed(address: str, method: str) -> None:
    assert answer(address, "/page.js", method)[0].status == 501


def test_only_this_machine_is_served(folder: Path) -> None:
    with PageServer(folder) as server:
        assert server.server_address[0] == "127.0.0.1"
        assert server.url == f"http://127.0.0.1:{server.server_port}/"


def test_taken_port(folder: Path) -> None:
    with (
        PageServer(folder) as server,
        pytest.raises(UserError, match=rf"--port {server.server_port}: .* in use; choose another port"),
    ):
        PageServer(folder, server.server_port)


def test_impossible_port(folder: Path) -> None:
    with pytest.raises(UserError, match=r"--port 70000: .*; choose another port"):
        PageServer(folder, 70_000)


def test_a_browser_that_hangs_up_is_no_error(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with serving(folder) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc)
        connection.connect()
        linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # a reset instead of an orderly end
        connection.sock.setsockopt(1, 13, linger)
        connection.putrequest("GET", "/page.js")
        connection.endheaders()
        connection.close()
        assert answer(urlsplit(url).netloc, "/page.js")[0].status == 200
    assert capfd.readouterr().err == ""


def test_serves_until_ctrl_c(folder: Path) -> None:
    program = (
        "import signal, sys; from pathlib import Path; from web.server import serve;"
        "signal.signal(signal.SIGINT, signal.default_int_handler); serve(Path(sys.argv[1]), 0)"
    )
    command = [sys.executable, "-c", program, str(folder)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[2]
        assert answer(urlsplit(url).netloc, "/")[1] == b"index.html"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
