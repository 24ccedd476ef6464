"""Find an ffmpeg that starts and has what is needed."""

import functools
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg

from utils.command import UserError, tell

START_SECONDS = 5.0
"""Seconds in which ffmpeg tells what it can."""

_MAX_LIST_BYTES = 2**22
"""Bytes that are read of ffmpeg's list of encoders or filters."""


def ffmpeg_command(encoder: str | None = None, filter_name: str | None = None) -> str:
    """Return the path of the system's ffmpeg, or of the one that comes with imageio-ffmpeg.

    The second is taken where the first does not start, or lacks an encoder or a filter, which is told.

    Raises:
        UserError: there is none that can be used.
    """
    needed = next(((kind, name) for kind, name in (("encoders", encoder), ("filters", filter_name)) if name), None)
    system, bundled = shutil.which("ffmpeg"), _bundled()
    defects = {}
    for command in (system, bundled):
        if command is not None:
            defects[command] = _defect(command, *(needed or ("encoders", "")))
            if defects[command] is None:
                if len(defects) > 1:
                    _tell_fallback(f"{system}: {defects[str(system)]}; using {command}")
                return command
    if not defects:
        raise UserError("ffmpeg is not installed; install it, for example with: apt-get install ffmpeg")
    told = " and ".join(f"{command}: {defect}" for command, defect in defects.items())
    raise UserError(f"{told}; install another ffmpeg, for example with: pip install --force-reinstall imageio-ffmpeg")


def _bundled() -> str | None:
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError:
        return None


@functools.cache
def _defect(command: str, kind: str, name: str) -> str | None:
    """Return why an ffmpeg cannot be used: it does not start, or does not list a name among its "encoders", say."""
    if not Path(command).exists():
        return None  # told when it is started
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                [command, "-hide_banner", f"-{kind}"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"does not start ({error.strerror})"
        try:
            code = process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            code = 0  # one that hangs is told by its watchdog
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        output.seek(0)
        said = output.read(_MAX_LIST_BYTES).decode(errors="replace")
    if code in (126, 127) or code < 0:
        return f"does not start ({(said.strip().splitlines() or [f'it ended with code {code}'])[-1].strip()})"
    listed = {words[1] for line in said.splitlines() if len(words := line.split()) > 1}
    if name and not code and "=" in listed and name not in listed:
        return f"lacks the {kind.removesuffix('s')} {name}"
    return None


@functools.cache
def _tell_fallback(message: str) -> None:
    """Print a warning, once."""
    tell(f"warning: {message}")
