import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yt_dlp

from dataset.acquisition.tennis import download
from dataset.acquisition.tennis.download import FORMAT, MATCHES, Match, download_match, fetch_annotations
from tests.command import Command, files
from utils.command import UserError

CLIPS = "index,original_filename,begin_frame,end_frame,top,left,bottom,right\n0,a_00000.mp4,0,9,0,0,4,4\n"
SPLITS = "sequence,split\n0,train\n"

Serve = Callable[[Path], str]


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    folder = tmp_path / "tables"
    folder.mkdir()
    (folder / "annotations.csv").write_text(CLIPS)
    (folder / "splits.csv").write_text(SPLITS)
    return folder


def picture(name: str, height: int, codec: str, extension: str = "mp4", sound: str = "none") -> dict[str, Any]:
    address = f"https://example.org/{name}"
    return {"format_id": name, "height": height, "vcodec": codec, "acodec": sound, "ext": extension, "url": address}


SOUND = {"format_id": "sound", "vcodec": "none", "acodec": "opus", "ext": "webm", "url": "https://example.org/sound"}
SMALL = picture("small", 720, "avc1.4d401f")
FULL = picture("full", 1080, "avc1.640028")
FULL_VP9 = picture("full_vp9", 1080, "vp9", "webm")
FULL_AV1 = picture("full_av1", 1080, "av01.0.08M.08")
HUGE = picture("huge", 2160, "av01.0.12M.08")
WITH_SOUND = picture("with_sound", 360, "avc1.42001E", sound="mp4a.40.2")


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ([SOUND, WITH_SOUND, SMALL, FULL, FULL_VP9, FULL_AV1, HUGE], "full"),
        ([SOUND, WITH_SOUND, FULL_VP9, FULL_AV1, HUGE], "full_av1"),
        ([SOUND, WITH_SOUND, FULL_VP9, HUGE], "full_vp9"),
        ([SOUND, WITH_SOUND, SMALL, HUGE], "small"),
        ([SOUND, WITH_SOUND], "with_sound"),
        ([SOUND, HUGE], "huge"),
    ],
)
def test_the_best_format_that_a_site_still_offers_is_chosen(offered: list[dict[str, Any]], chosen: str) -> None:
    downloader = yt_dlp.YoutubeDL({"format": FORMAT, "logger": logging.getLogger("silent")})
    video = {"id": "x", "title": "x", "extractor": "x", "formats": offered}
    assert downloader.process_ie_result(video, download=False)["format_id"] == chosen


def test_the_two_public_matches() -> None:
    assert [(match.name, match.url[-11:]) for match in MATCHES] == [
        ("djokovic_federer_wimbledon", "TUikJi0Qhhw"),
        ("nadal_kyrgios_wimbledon", "T4S5YmO0KOU"),
    ]


def test_a_match_is_downloaded_whole(matches: Path, serve: Serve, tmp_path: Path) -> None:
    target = tmp_path / "50% off %(id)s"
    download_match(Match("a match", f"{serve(matches)}/first.mp4"), target)
    assert files(target) == {target / "a match.mp4": (matches / "first.mp4").read_bytes()}


def test_an_interrupted_download_is_completed(matches: Path, serve: Serve, tmp_path: Path) -> None:
    contents = (matches / "first.mp4").read_bytes()
    (tmp_path / "first.mp4.part").write_bytes(contents[:1000])
    download_match(Match("first", f"{serve(matches)}/first.mp4"), tmp_path)
    assert files(tmp_path) == {tmp_path / "first.mp4": contents}


def test_a_match_that_is_there_is_kept(tmp_path: Path) -> None:
    (tmp_path / "first.mp4").write_bytes(b"put there by hand")
    download_match(Match("first", "http://127.0.0.1:1/gone.mp4"), tmp_path)
    assert files(tmp_path) == {tmp_path / "first.mp4": b"put there by hand"}


@pytest.mark.parametrize(
    ("file", "video_format", "reason"),
    [
        ("gone.mp4", FORMAT, "HTTP Error 404"),
        ("page.html", FORMAT, "Unsupported URL"),
        ("first.mp4", "137", "Requested format is not available"),
    ],
)
def test_a_match_that_cannot_be_had_is_explained_in_one_line(
    file: str,
    video_format: str,
    reason: str,
    matches: Path,
    serve: Serve,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served/page.html").write_text("<html><title>This video is private</title></html>")
    (tmp_path / "served/first.mp4").write_bytes((matches / "first.mp4").read_bytes())
    match = Match("first", f"{serve(tmp_path / 'served')}/{file}")
    with pytest.raises(UserError) as error:
        download_match(match, tmp_path / "matches", video_format)
    message = str(error.value)
    assert message.startswith(f"{match.url}: cannot be downloaded: ")
    assert reason in message
    assert message.endswith(f"or put the match at {tmp_path / 'matches/first.mp4'} yourself, then run this again")
    assert "ERROR" not in message + capfd.readouterr().err
    assert not (tmp_path / "matches/first.mp4").exists()


def test_annotations_come_from_a_folder(tables: Path, tmp_path: Path) -> None:
    fetch_annotations(str(tables), tmp_path / "out")
    assert (tmp_path / "out/annotations.csv").read_text() == CLIPS
    assert (tmp_path / "out/splits.csv").read_text() == SPLITS


@pytest.mark.parametrize("end", ["", "/"])
def test_annotations_come_from_a_url(end: str, tables: Path, serve: Serve, tmp_path: Path) -> None:
    fetch_annotations(f"{serve(tables.parent)}/{tables.name}{end}", tmp_path / "out")
    assert (tmp_path / "out/annotations.csv").read_text() == CLIPS
    assert (tmp_path / "out/splits.csv").read_text() == SPLITS


def test_annotations_that_are_there_need_no_address(tables: Path) -> None:
    fetch_annotations(None, tables)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (None, "splits.csv: missing; put it there, or give --annotations the address where it is"),
        ("http://127.0.0.1:1", "splits.csv cannot be had from http://127.0.0.1:1: .*refused.*put the file at .*csv"),
        ("no/such/folder", "splits.csv cannot be had from no/such/folder: .*No such file.*put the file at .*csv"),
    ],
)
def test_annotations_that_cannot_be_had_are_explained(address: str | None, message: str, tables: Path) -> None:
    (tables / "splits.csv").unlink()
    with pytest.raises(UserError, match=message):
        fetch_annotations(address, tables)


def test_a_page_in_place_of_a_table_is_refused_before_matches_are_downloaded(tables: Path, tmp_path: Path) -> None:
    (tables / "annotations.csv").write_text("<!DOCTYPE html><html></html>")
    with pytest.raises(UserError, match=r"annotations\.csv: has no column .*put the table itself there, not a page"):
        fetch_annotations(str(tables), tmp_path / "out")


def test_command(
    tables: Path,
    matches: Path,
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "out"
    address = serve(matches)
    command = Command(download, tmp_path, monkeypatch, capsys, "--output_directory", str(output))
    options = ["--annotations", str(tables), "--match", f"one={address}/first.mp4", "--match"]
    code, out, _ = command(*options, f"two={address}/second.mp4?a=b")
    assert code == 0
    assert f"{output / 'matches/one.mp4'}: unknown size, unknown frames/s" in out
    assert (output / "matches/two.mp4").read_bytes() == (matches / "second.mp4").read_bytes()
    for wrong in ("http://a/b.mp4", "../up=http://a/b.mp4", "a="):
        assert "is not NAME=URL" in command.refused(*options, wrong)
