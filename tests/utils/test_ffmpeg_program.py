from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import imageio_ffmpeg
import pytest

from tests.dataset.acquisition.clips import encode, numbered
from utils.command import UserError
from utils.ffmpeg import input_file, read_length
from utils.ffmpeg_program import ffmpeg_command
from utils.mp4_writer import Mp4Writer

LOADER = "error while loading shared libraries: libx264.so.1: cannot open shared object file"


@pytest.mark.parametrize(
    ("script", "defect"),
    [
        (f"echo '{LOADER}' >&2; exit 127", f"does not start ({LOADER})"),
        ("kill -SEGV $$", "does not start (it ended with code -11)"),
    ],
)
def test_where_that_of_the_system_does_not_start_the_other_is_taken_and_told(
    script: str,
    defect: str,
    tmp_path: Path,
    fake_ffmpeg: Callable[[str], None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bundled = imageio_ffmpeg.get_ffmpeg_exe()
    file = encode(tmp_path / "a.mp4", numbered(3))
    fake_ffmpeg(script)
    assert ffmpeg_command() == bundled
    assert f"{tmp_path}/fake/ffmpeg: {defect}; using {bundled}" in "".join(capsys.readouterr())
    assert read_length(input_file(file)).num_frames == 3
    monkeypatch.setattr("utils.ffmpeg_program._bundled", lambda: None)
    with pytest.raises(UserError, match=r"does not start .*; install another ffmpeg") as error:
        read_length(input_file(file))
    assert len(str(error.value).splitlines()) == 1


def test_one_that_no_program_can_start_is_told(tmp_path: Path, fake_ffmpeg: Callable[[str], None]) -> None:
    fake_ffmpeg("")
    (tmp_path / "fake/ffmpeg").write_bytes(b"\x7fELF and nothing more")
    assert ffmpeg_command() == imageio_ffmpeg.get_ffmpeg_exe()


def test_one_that_lacks_an_encoder_is_not_taken_for_it(
    tmp_path: Path, fake_ffmpeg: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    bundled = imageio_ffmpeg.get_ffmpeg_exe()
    fake_ffmpeg(
        f"""case "$*" in *-encoders) {bundled} -hide_banner -encoders | grep -v libx264; exit;; esac
        case "$*" in *libx264*) echo "Unknown encoder 'libx264'" >&2; exit 1;; esac; exec {bundled} "$@\""""
    )
    assert ffmpeg_command() == f"{tmp_path}/fake/ffmpeg"
    with closing(Mp4Writer(tmp_path / "a.mp4", 10)) as writer:
        for frame in numbered(3):
            writer.write(frame)
    assert read_length(input_file(tmp_path / "a.mp4")).num_frames == 3
    assert "fake/ffmpeg: lacks the encoder libx264; using " in "".join(capsys.readouterr())


def test_the_ffmpeg_of_the_system_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: "/system/ffmpeg")
    assert ffmpeg_command() == "/system/ffmpeg"
    monkeypatch.setattr("shutil.which", lambda _: None)
    assert Path(ffmpeg_command()).is_file()

    def missing() -> str:
        raise RuntimeError("no ffmpeg")

    monkeypatch.setattr(imageio_ffmpeg, "get_ffmpeg_exe", missing)
    with pytest.raises(UserError, match="ffmpeg is not installed; install it"):
        ffmpeg_command()
