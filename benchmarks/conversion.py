"""Speed of the conversion to a data set, compared with bare ffmpeg that writes the same PNG files.

python -m benchmarks.conversion
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import ffmpeg
import numpy as np
from PIL import Image, ImageChops

from dataset.acquisition.readers.video_file import VideoFile, find
from utils.command import CommandParser, positive_int, run_command
from utils.ffmpeg_program import ffmpeg_command
from utils.measurement import write_report

SIZE = (256, 256)
CLIP_SIZE = "640x480"
FRAME_RATE = 25
NUM_REPEATS = 3


def main() -> None:
    """Measure on videos that ffmpeg generates, or on given ones; print and write the results."""
    parser = CommandParser(
        "Measure how many frames a second are converted, beside bare ffmpeg that writes the same PNG files.",
        "python -m benchmarks.conversion --videos 4 --seconds 20",
    )
    add = parser.add_argument
    add("--video_directory", type=Path, metavar="DIR", help="videos to convert (default: zooms into a fractal)")
    add("--videos", type=positive_int, default=4, metavar="N", help="videos to draw (default: 4)")
    add("--seconds", type=positive_int, default=20, metavar="S", help="length of each (default: 20)")
    add("--processes", type=positive_int, default=2, metavar="P", help="videos converted at a time (default: 2)")
    add("--json", type=Path, metavar="FILE", help="where to write (default: in benchmarks/results/)")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        given = arguments.video_directory and arguments.video_directory.absolute()
        directory = given or draw(Path(folder, "videos"), arguments.videos, arguments.seconds)
        results = measure(directory, Path(folder), arguments.processes)
    for name in ("bare ffmpeg", "ours"):
        print(f"{results['frames_per_second'][name]:9.0f} frames/s  {name}")
    print(f"{results['times_slower']:9.2f} times the time of bare ffmpeg")
    print(f"written to {write_report('conversion', '256x256', results, path=arguments.json)}")


def draw(directory: Path, num_videos: int, seconds: int) -> Path:
    """Write H.264 videos of a zoom into the Mandelbrot set, which are as hard to compress as real footage."""
    directory.mkdir()
    for index in range(num_videos):
        picture = f"mandelbrot=size={CLIP_SIZE}:rate={FRAME_RATE}:start_scale={3 - index / 2}"
        ffmpeg.input(picture, format="lavfi", t=seconds).output(
            str(directory / f"{index:03d}.mp4"), pix_fmt="yuv420p", vcodec="libx264", preset="veryfast"
        ).run(cmd=ffmpeg_command(), quiet=True)
    return directory


def measure(directory: Path, folder: Path, processes: int) -> dict[str, Any]:
    """Measure the median frames a second of both, including the start of processes.

    Bare ffmpeg decodes, scales and writes one video after the other with all cores. The two take turns, so that a busy
    machine slows both equally.
    """
    bare, ours = folder / "bare", folder / "ours"
    videos = find(directory)
    runs: dict[str, Callable[[], object]] = {
        "bare ffmpeg": lambda: run_bare_ffmpeg(videos, bare),
        "ours": lambda: run_ours(directory, ours, processes),
    }
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(NUM_REPEATS):
        for output in (bare, ours):
            shutil.rmtree(output, ignore_errors=True)
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    num_frames = len(list(ours.glob("*/*.png")))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {
        "size": SIZE,
        "videos": len(videos),
        "frames": num_frames,
        "processes": processes,
        "frames_per_second": {name: round(num_frames / median, 1) for name, median in medians.items()},
        "bytes_per_frame": {path.name: round(_mean_size(path)) for path in (bare, ours)},
        "largest_difference": max(map(_difference, sorted(bare.glob("*/00000.png")), sorted(ours.glob("*/00000.png")))),
        "times_slower": round(medians["ours"] / medians["bare ffmpeg"], 3),
    }


def run_bare_ffmpeg(videos: Iterable[VideoFile], directory: Path) -> None:
    """Write the frames as PNG files with the compression level and filters of our files."""
    width, height = SIZE
    scale = f"fps={FRAME_RATE},scale={width}:{height}:flags=bicubic+accurate_rnd+full_chroma_int"
    for index, video in enumerate(videos):
        folder = directory / f"{index:05d}"
        folder.mkdir(parents=True)
        ffmpeg.input(str(video.path)).output(
            str(folder / "%05d.png"), vf=scale, start_number=0, compression_level=1, pred="mixed", pix_fmt="rgb24"
        ).run(cmd=ffmpeg_command(), quiet=True)


def run_ours(directory: Path, output: Path, processes: int) -> None:
    """Run the command that converts the videos of a folder."""
    command = [sys.executable, "-m", "dataset.acquisition.convert_video_directory", "--video_extension", "all"]
    command += ["--video_directory", str(directory), "--output_directory", str(output), "--fps", str(FRAME_RATE)]
    command += ["--target_size", *map(str, SIZE), "--processes", str(processes)]
    subprocess.run(command, cwd=Path(__file__).parents[1], check=True, capture_output=True)


def _mean_size(directory: Path) -> float:
    return statistics.fmean(file.stat().st_size for file in directory.glob("*/*.png"))


def _difference(first: Path, second: Path) -> int:
    """Return the largest difference of two frames in any pixel, 0 to 255."""
    with Image.open(first) as one, Image.open(second) as other:
        return int(np.asarray(ImageChops.difference(one, other)).max())


if __name__ == "__main__":
    run_command(main)
