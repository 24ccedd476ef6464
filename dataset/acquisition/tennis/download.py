"""Download the tennis matches and the tables that define the data set (docs/method.md#data-sets).

Writes `DIR/matches/<name>.mp4`, without sound, and `DIR/annotations/{annotations,splits}.csv`. Existing files are kept,
including those placed by the user, and an interrupted download is resumed.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tqdm import tqdm

from dataset.acquisition.tennis.annotations import CLIPS_FILE, SPLITS_FILE, read_clips, read_splits
from utils.command import CommandParser, UserError, one_line, run_command, tell
from utils.extras import missing_package
from utils.ffmpeg_program import ffmpeg_command
from utils.files import only_process, replacing

FORMAT = (
    "bestvideo[ext=mp4][vcodec^=avc1][height<=1080]/bestvideo[ext=mp4][height<=1080]/bestvideo[height<=1080]/"
    "best[height<=1080]/bestvideo/best"
)
"""yt-dlp's format selector: the first of these that the site offers.

H.264 comes first since it decodes fastest, formats with sound come last.
"""

TIMEOUT_SECONDS = 30

EXAMPLE = """\
python -m dataset.acquisition.tennis.download --annotations https://example.org/tennis_annotations \\
      --output_directory data/tennis_v4_256_ours_work"""


@dataclass(frozen=True)
class Match:
    """A video of a match on the web."""

    name: str
    """File name without suffix, by which the annotations refer to the match."""
    url: str


MATCHES = (
    Match("djokovic_federer_wimbledon", "https://www.youtube.com/watch?v=TUikJi0Qhhw"),
    Match("nadal_kyrgios_wimbledon", "https://www.youtube.com/watch?v=T4S5YmO0KOU"),
)


def fetch_annotations(address: str | None, directory: Path) -> None:
    """Copy or download `annotations.csv` and `splits.csv` to a folder, unless they exist there.

    Args:
        address: their location: a URL, to which `/` and the file name are appended, or a folder.
        directory: the folder, created if missing.

    Raises:
        UserError: a file is missing and cannot be obtained, or is no such table.
    """
    for name in (CLIPS_FILE, SPLITS_FILE):
        target = directory / name
        if target.exists():
            continue
        if address is None:
            raise UserError(f"{target}: missing; put it there, or give --annotations the address where it is")
        try:
            contents = _contents(address, name)
        except (OSError, HTTPException) as error:
            raise UserError(
                f"{name} cannot be had from {address}: {one_line(error)}; correct --annotations, or put the file at "
                f"{target}"
            ) from error
        with replacing(target) as file:
            file.write(contents)
    read_clips(directory / CLIPS_FILE)
    read_splits(directory / SPLITS_FILE)


def download_match(match: Match, directory: Path, video_format: str = FORMAT) -> None:
    """Download a match to a folder as `<name>.mp4`, unless it exists, with a progress bar.

    The suffix does not guarantee the format: if a site has no MP4, another format is stored under this name, which
    ffmpeg recognises.

    Raises:
        UserError: the video no longer exists, or yt-dlp cannot download it.
    """
    target = directory / f"{match.name}.mp4"
    if target.exists():
        return
    try:
        import yt_dlp
    except ImportError as error:
        raise missing_package("downloading", "yt-dlp", "tennis") from error
    silent = logging.getLogger("yt_dlp")
    silent.addHandler(logging.NullHandler())
    with tqdm(desc=match.name, unit="B", unit_scale=True) as progress:

        def report(status: dict[str, Any]) -> None:
            progress.total = status.get("total_bytes") or status.get("total_bytes_estimate")
            progress.update(status.get("downloaded_bytes", 0) - progress.n)

        options = {
            "format": video_format,
            "outtmpl": str(target).replace("%", "%%"),
            "ffmpeg_location": ffmpeg_command(),
            "noplaylist": True,
            "logger": silent,
            "noprogress": True,
            "progress_hooks": [report],
        }
        try:
            with yt_dlp.YoutubeDL(options) as downloader:
                found = downloader.extract_info(match.url)
        except yt_dlp.utils.YoutubeDLError as error:
            raise UserError(
                f"{match.url}: cannot be downloaded: {one_line(error).removeprefix('ERROR: ')}; update yt-dlp, choose "
                f"another --format, or put the match at {target} yourself, then run this again"
            ) from error
    size, rate = found.get("resolution") or "unknown size", found.get("fps") or "unknown"
    tell(f"{target}: {size}, {rate} frames/s")


def _contents(address: str, name: str) -> bytes:
    if not address.startswith(("http://", "https://")):
        return Path(address, name).read_bytes()
    with urlopen(f"{address.rstrip('/')}/{name}", timeout=TIMEOUT_SECONDS) as response:
        contents: bytes = response.read()
    return contents


def _match(text: str) -> Match:
    name, _, url = text.partition("=")
    if not url or Path(name).name != name:
        raise argparse.ArgumentTypeError(f"{text} is not NAME=URL with the name of a file")
    return Match(name, url)


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line (`sys.argv` if None)."""
    parser = CommandParser(
        "Download the tennis matches and the tables that say which parts of them are the data set. What is there is "
        "kept, so files that cannot be downloaded can be put in their place.",
        EXAMPLE,
    )
    add = parser.add_argument
    add("--output_directory", required=True, type=Path, metavar="DIR", help="folder for matches and annotations")
    add(
        "--annotations",
        metavar="URL_OR_FOLDER",
        help="where annotations.csv and splits.csv are, which the authors of the data set publish: a folder, or the "
        "URL that the files' names are added to (raw files, not pages that show them); not needed once they are "
        "in DIR/annotations",
    )
    add(
        "--match",
        dest="matches",
        action="append",
        type=_match,
        metavar="NAME=URL",
        help="a video to download as DIR/matches/NAME.mp4, instead of the two public matches; may be given several "
        "times",
    )
    add(
        "--format",
        default=FORMAT,
        metavar="FORMAT",
        help="which of the pictures that a site offers, as yt-dlp writes it (default: up to 1080 lines, H.264 first); "
        "they must have the size and frame rate that the annotations were made on",
    )
    return parser.parse_args(arguments)


def main() -> None:
    """Run the command."""
    arguments = parse_arguments()
    directory = arguments.output_directory
    with only_process(directory, "--output_directory"):
        fetch_annotations(arguments.annotations, directory / "annotations")
        for match in arguments.matches or MATCHES:
            download_match(match, directory / "matches", arguments.format)


if __name__ == "__main__":
    run_command(main)
