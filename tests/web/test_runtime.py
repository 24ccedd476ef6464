"""Where the runtime is found, with a small one in place of onnxruntime-web. `test_page.py` runs the real one."""

import re
import tarfile
from pathlib import Path

import pytest

import web.runtime
from tests.runtimes import SMALL_RUNTIME, pinned
from utils.command import UserError
from web.runtime import PAGE_RUNTIME, Runtime, find_runtime, runtime_description

NPM = """#!/bin/sh
echo "$@" >> {calls}
cp {package} .
"""


def fill(folder: Path, contents: dict[str, bytes] = SMALL_RUNTIME) -> Path:
    folder.mkdir(parents=True)
    for name, text in contents.items():
        (folder / name).write_bytes(text)
    return folder


@pytest.fixture(autouse=True)
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    small = Runtime("9.8.7", {name: pinned(contents) for name, contents in SMALL_RUNTIME.items()})
    monkeypatch.setattr(web.runtime, "PAGE_RUNTIME", small)
    return small


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a fetched runtime is kept; the current folder is empty, and there is no npm."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    (tmp_path / "project/page").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "project/page")
    return tmp_path / "cache/playable-video/onnxruntime-web@9.8.7"


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in npm's place that packs the runtime; returns the file in which it notes how it was called."""
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/bin:/usr/bin")
    install(tmp_path, NPM.format(calls=tmp_path / "calls", package=pack(tmp_path, SMALL_RUNTIME)))
    return tmp_path / "calls"


def install(folder: Path, script: str) -> None:
    (folder / "bin/npm").write_text(script)
    (folder / "bin/npm").chmod(0o755)


def pack(folder: Path, contents: dict[str, bytes]) -> Path:
    """What npm packs: the files in `package/dist`, beside others."""
    source = fill(folder / "source", contents | {"package.json": b"{}"})
    path = folder / "onnxruntime-web-9.8.7.tgz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(source, "package/dist")
    return path


class TestGivenFolder:
    def test_is_taken_if_it_is_whole(self, tmp_path: Path) -> None:
        assert find_runtime(fill(tmp_path / "given")) == tmp_path / "given"

    @pytest.mark.parametrize("contents", [b"", b"\0asn", b"\0asm "])
    def test_of_another_version(self, tmp_path: Path, contents: bytes) -> None:
        given = fill(tmp_path / "given", SMALL_RUNTIME | {"ort.wasm": contents})
        with pytest.raises(UserError, match=rf"{given}: ort\.wasm: missing, or of another version; put the files of"):
            find_runtime(given)

    def test_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(
            UserError, match=r"ort\.mjs, ort\.wasm: missing, .* onnxruntime-web@9\.8\.7 \(folder dist\)"
        ):
            find_runtime(tmp_path / "none")


class TestInstalledPackage:
    @pytest.mark.parametrize("place", ["project/page", "project", "."])
    def test_of_this_folder_or_one_above(self, tmp_path: Path, place: str) -> None:
        installed = fill(tmp_path / place / "node_modules/onnxruntime-web/dist")
        assert find_runtime() == installed.resolve()

    def test_of_another_version_is_passed_over(self, tmp_path: Path, cache: Path) -> None:
        fill(tmp_path / "project/node_modules/onnxruntime-web/dist", SMALL_RUNTIME | {"ort.mjs": b"old"})
        fill(cache)
        assert find_runtime() == cache


class TestFetching:
    def test_fills_the_cache_once_and_runs_nothing_of_the_package(self, npm: Path, cache: Path) -> None:
        assert find_runtime() == cache
        assert find_runtime() == cache
        assert npm.read_text() == "pack --loglevel=error --ignore-scripts onnxruntime-web@9.8.7\n"
        assert {path.name: path.read_bytes() for path in cache.iterdir()} == SMALL_RUNTIME

    def test_mends_a_damaged_cache(self, npm: Path, cache: Path) -> None:
        fill(cache, SMALL_RUNTIME | {"ort.wasm": b""})
        assert find_runtime() == cache
        assert npm.exists()
        assert (cache / "ort.wasm").read_bytes() == SMALL_RUNTIME["ort.wasm"]

    def test_another_package_is_not_kept(self, tmp_path: Path, npm: Path, cache: Path) -> None:
        (tmp_path / "other").mkdir()
        package = pack(tmp_path / "other", SMALL_RUNTIME | {"ort.wasm": b"evil"})
        install(tmp_path, NPM.format(calls=npm, package=package))
        with pytest.raises(
            UserError, match=r"ort\.wasm: .*npm's package is not the pinned one; .* --runtime_directory"
        ):
            find_runtime()
        assert not cache.exists()

    def test_npm_is_missing(self, cache: Path) -> None:
        with pytest.raises(UserError, match=r"npm, .* is not installed; install Node\.js, or fetch onnxruntime-web@9"):
            find_runtime()
        assert not cache.exists()

    def test_npm_fails(self, tmp_path: Path, npm: Path, cache: Path) -> None:
        install(tmp_path, "#!/bin/sh\necho no network >&2\nexit 1\n")
        with pytest.raises(
            UserError, match=r"npm cannot fetch the page's runtime: no network\s*; fetch onnxruntime-web"
        ):
            find_runtime()
        assert not npm.exists()
        assert not cache.exists()

    def test_npm_hangs(self, tmp_path: Path, npm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(web.runtime, "NPM_SECONDS", 0.2)
        install(tmp_path, "#!/bin/sh\nexec sleep 30\n")
        with pytest.raises(UserError, match=r"npm did not fetch the page's runtime in 0\.2 s; fetch"):
            find_runtime()
        assert not npm.exists()


class TestDescription:
    def test_of_files_beside_the_page(self, runtime: Runtime) -> None:
        assert runtime_description("local") == {
            "version": "9.8.7",
            "base": "runtime/",
            "files": {name: file.integrity for name, file in runtime.files.items()},
            "bytes": {"ort.mjs": 22, "ort.wasm": 4},
        }

    def test_of_files_on_a_public_server(self) -> None:
        assert runtime_description("cdn")["base"] == "https://cdn.jsdelivr.net/npm/onnxruntime-web@9.8.7/dist/"


def test_pinned_files_are_those_that_the_page_loads() -> None:
    page = Path(web.runtime.__file__).parent / "page/runtime.js"
    assert set(re.findall(r'(?:module|wasm): "([^"]+)"', page.read_text())) == PAGE_RUNTIME.files.keys()
    assert all(re.fullmatch(r"sha384-[\w+/]{64}", file.integrity) for file in PAGE_RUNTIME.files.values())
