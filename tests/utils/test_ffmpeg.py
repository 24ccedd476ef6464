import time
from collections.abc import Callable
from pathlib import Path

import ffmpeg
import numpy as np
import pytest

from tests.dataset.acquisition.clips import encode, number_of, numbered
from utils import ffmpeg as module
from utils.ffmpeg import Ffmpeg, FfmpegError, FfmpegStalledError, input_file, read_length, run_ffmpeg

PICTURES = ffmpeg.input("picture").output("pipe:")
FOREVER = "while :; do {}; done"


@pytest.mark.usefixtures("each_ffmpeg")
class TestRealFfmpeg:
    def test_frames_are_read(self, tmp_path: Path) -> None:
        file = encode(tmp_path / "clip.mkv", numbered(5), "-c:v", "ffv1")
        stream = input_file(file).output("pipe:", format="image2pipe", vcodec="ppm")
        with Ffmpeg(stream.global_args("-loglevel", "error")) as process:
            frames = list(process.frames())
            assert process.finish() == 0
        assert [number_of(frame) for frame in frames] == [0, 1, 2, 3, 4]
        assert {(frame.shape, frame.dtype) for frame in frames} == {((16, 32, 3), np.dtype(np.uint8))}
        assert process.messages == ""

    def test_length_is_measured_without_a_header(self, tmp_path: Path) -> None:
        times = r"setpts=if(lt(N\,5)\,N\,3*N-10)"
        file = encode(tmp_path / "uneven.mkv", numbered(8), "-vf", times, "-c:v", "ffv1")
        length = read_length(input_file(file))
        num_frames, seconds = length.num_frames, length.seconds
        assert num_frames == 8
        assert seconds == pytest.approx(1.2, abs=0.11)

    def test_a_failure_is_told_in_its_own_words(self, tmp_path: Path) -> None:
        (tmp_path / "text.mp4").write_text("hello")
        with pytest.raises(FfmpegError, match="Invalid data"):
            run_ffmpeg(input_file(tmp_path / "text.mp4").output(str(tmp_path / "out.mp4")), tmp_path / "out.mp4")
        with pytest.raises(FfmpegError, match="Invalid data"):
            read_length(input_file(tmp_path / "text.mp4"))


class TestWatchdog:
    @pytest.mark.parametrize("script", ["sleep 60", "printf P6; echo >&2 stuck; exec sleep 60"])
    def test_silence_is_ended_and_told(self, fake_ffmpeg: Callable[[str], None], script: str) -> None:
        fake_ffmpeg(script)
        start = time.monotonic()
        with (
            pytest.raises(FfmpegStalledError, match=r"did not go on for 0\.5 s \((no reason given|stuck)\)"),
            Ffmpeg(PICTURES, silence_seconds=0.5) as process,
        ):
            list(process.frames())
        assert time.monotonic() - start < 30
        assert process._process.poll() is not None

    def test_complaints_without_end_are_ended(
        self, fake_ffmpeg: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "MAX_COMPLAINTS", 10_000)
        fake_ffmpeg(FOREVER.format("echo this is a bug >&2"))
        with pytest.raises(FfmpegStalledError, match="only complains"), Ffmpeg(PICTURES) as process:
            list(process.frames())

    def test_beginning_and_end_of_messages_are_kept(self, fake_ffmpeg: Callable[[str], None]) -> None:
        fake_ffmpeg("echo first >&2; head -c 1000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo last >&2; exit 3")
        with Ffmpeg(PICTURES) as process:
            assert list(process.frames()) == []
            assert process.finish() == 3
        assert process.messages.startswith("first\n")
        assert process.last_words == "last"
        assert len(process.messages) < 2**17

    def test_one_that_takes_nothing_is_ended(self, fake_ffmpeg: Callable[[str], None]) -> None:
        fake_ffmpeg("exec sleep 60")
        with (
            pytest.raises(FfmpegStalledError, match="did not go on"),
            Ffmpeg(PICTURES, takes_input=True, silence_seconds=0.5) as process,
        ):
            process.write(bytes(2**20))

    def test_one_that_makes_nothing_is_ended(
        self, tmp_path: Path, fake_ffmpeg: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "SILENCE_SECONDS", 0.5)
        fake_ffmpeg(FOREVER.format("echo out_time=00:00:01.00; sleep 0.1"))
        with pytest.raises(FfmpegStalledError, match="did not go on"):
            run_ffmpeg(PICTURES, tmp_path / "out.mp4")

    def test_time_that_is_not_spent_waiting_does_not_count(self, fake_ffmpeg: Callable[[str], None]) -> None:
        fake_ffmpeg("printf 'P6\\n1 1\\n255\\nabcP6\\n1 1\\n255\\ndef'")
        with Ffmpeg(PICTURES, silence_seconds=3) as process:
            frames = process.frames()
            first = next(frames)
            time.sleep(3.5)
            assert [bytes(frame) for frame in (first, *frames)] == [b"abc", b"def"]
