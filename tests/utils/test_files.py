import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults import file_size_limit
from utils.command import UserError
from utils.files import lock, only_process, replacing, require_writable, unfinished_folder, user_cache

ROOT = Path(__file__).parents[2]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for contents in (b"first", b"second"):
        with replacing(path) as file:
            file.write(contents)
            assert not path.exists() or path.read_bytes() == b"first"
        assert path.read_bytes() == contents
    assert names(path.parent) == ["file"]


def test_a_name_may_be_as_long_as_the_file_system_takes(tmp_path: Path) -> None:
    with replacing(tmp_path / ("f" * 255)) as file:
        file.write(b"new")
    with unfinished_folder(tmp_path / ("d" * 255)) as folder:
        folder.rename(tmp_path / ("d" * 255))
    assert names(tmp_path) == ["d" * 255, "f" * 255]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def write() -> None:
        with replacing(path) as file:
            file.write(b"new")
            raise error

    with pytest.raises(error):
        write()
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="too large"), file_size_limit(1000), replacing(path) as file:
        file.write(bytes(10_000))
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_disk_that_turns_out_full_at_the_end_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = tmp_path / "file"
    path.write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"), replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_writable_folders_are_recognised_without_making_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    require_writable(tmp_path, "")
    require_writable(tmp_path / "new" / "newer", "")
    monkeypatch.chdir(tmp_path)
    require_writable(Path("new"), "")
    assert not names(tmp_path)


def test_other_folders_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is no folder; choose another"):
        require_writable(tmp_path / "file" / "below", "choose another")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(UserError, match="is not writable; choose another"):
        require_writable(tmp_path / "new", "choose another")


def test_only_one_process_works_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "run"
    script = (
        "import sys, time; from pathlib import Path; from utils.files import only_process\n"
        "with only_process(Path(sys.argv[1]), ''): print(flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", script, folder], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"\n"
        with (
            pytest.raises(UserError, match="run: another process is at work there; wait"),
            only_process(folder, "folder"),
        ):
            pass
        other.kill()
    with only_process(folder, "folder"):
        pass


def test_a_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder"
    (path.parent / ".folder.unfinished" / "left").mkdir(parents=True)
    with unfinished_folder(path) as unfinished:
        assert names(path.parent) == [".folder.unfinished"]
        assert names(unfinished) == []
        (unfinished / "file").touch()
        unfinished.rename(path)
    assert names(path) == ["file"]
    assert names(path.parent) == ["folder"]


def test_a_folder_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    def give_up() -> None:
        with unfinished_folder(tmp_path / "folder") as unfinished:
            (unfinished / "file").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        give_up()
    assert names(tmp_path) == []


def test_a_lock_is_had_once(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        assert lock(first)
        assert not lock(second)
        first.close()
        assert lock(second, "waiting")


def test_without_a_home_the_cache_is_among_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: Path(os.environ["HOME"]))
    assert user_cache() == tmp_path / f"home-{os.getuid()}" / ".cache" / "playable-video"


def test_the_cache_is_where_the_user_wants_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert user_cache() == tmp_path / "playable-video"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert user_cache() == Path.home() / ".cache" / "playable-video"
