import base64
import io
import re
import xml.etree.ElementTree
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evaluation.report import ANIMATION_FRAMES, curves, draw_figures, format_value, write_report
from evaluation.results import Evidence, Results, SequencePair

ATTACK = "<script>alert('&')</script>"
RESULTS = Results(
    values={
        "mse/avg": 0.0123456,
        "mse/0": 0.0,
        "mse/1": 0.01,
        "mse/2": 0.03,
        "ssim/avg": 0.9,
        "ssim/0": 1.0,
        "ssim/1": None,
        "ssim/2": None,
        "fid": None,
        "detection/reference_detections/0": 4,
        "action_variance/frequency/0": 0.75,
        "action_variance/frequency/1": 0.25,
    },
    intervals={"mse/avg": [0.011, 0.014], "mse/2": [0.02, 0.04]},
    samples={"mse": 48},
    reasons={"fid": f"no weights {ATTACK}"},
    warnings=[f"few samples {ATTACK}"],
    protocol={"fvd": f"224x224 {ATTACK}"},
    provenance={
        "run_name": f"square {ATTACK}",
        "checkpoint_sha256": "0123456789abcdef" * 4,
        "versions": {"torch": "2"},
    },
)


def frames(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).integers(0, 256, (*shape, 3), np.uint8)


def evidence(**changes: object) -> Evidence:
    found = Evidence(
        actions_count=2,
        action_usage=np.array([6, 2]),
        movements=np.array([[-1.0], [-2.0], [1.0], [2.0], [1.5]]),
        movement_actions=np.array([0, 0, 1, 1, 1]),
        movement_unit="pixels",
        confusion=np.array([[5, 1, 0], [0, 1, 1]]),
        true_actions=[0, 2, 3],
        best=[SequencePair(f"00000, from frame 3 {ATTACK}", 0.001, frames(5, 16, 24), frames(5, 16, 24))],
        worst=[SequencePair("00001, from frame 0", 0.5, frames(5, 16, 24), frames(5, 16, 24))],
        demonstrations={0: frames(3, 4, 16, 24), 1: frames(3, 4, 16, 24)},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


@dataclass
class Page(HTMLParser):
    """What a browser would show: texts and images; the addresses that it would ask for."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.texts: list[str] = []
        self.addresses: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        named = dict(attributes)
        if tag == "img":
            self.images.append(named)
        self.addresses += [value or "" for key, value in attributes if key in ("src", "href", "srcset", "data")]

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def decoded(image: dict[str, str | None]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode((image["src"] or "").partition(",")[2])))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report")
    write_report(path, RESULTS, evidence())
    return path


@pytest.fixture(scope="module")
def html(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


class TestWholePage:
    def test_nothing_is_requested(self, html: str, page: Page) -> None:
        assert [address[:5] for address in page.addresses if address[:5] != "data:" and address[0] != "#"] == []
        assert not {"script", "link", "iframe", "object"} & set(page.tags)
        assert "default-src 'none'" in html
        assert not re.search(r"url\(|@import|https?://", html)

    def test_text_from_elsewhere_stays_text(self, html: str, page: Page) -> None:
        assert ATTACK not in html
        assert page.text.count(ATTACK) == 8

    def test_every_image_says_what_it_shows_and_has_its_size(self, page: Page) -> None:
        assert len(page.images) == 4 + 2 + 6
        assert all(image["alt"] for image in page.images)
        shapes = [decoded(image) for image in page.images if image["class"] == "frames"]
        sizes = [(image["width"], image["height"]) for image in page.images if image["class"] == "frames"]
        assert sizes == [(str(shape.width), str(shape.height)) for shape in shapes]

    def test_elements_are_closed(self, html: str) -> None:
        body = html[html.index("<body>") : html.index("</body>")] + "</body>"
        closed = re.sub(r"(<img [^>]*)>", r"\1/>", body).replace(" open>", ">")
        xml.etree.ElementTree.fromstring(closed)


class TestNumbers:
    def test_headlines_have_interval_and_samples(self, page: Page) -> None:
        start = page.texts.index("MSE ↓")
        assert page.texts[start : start + 4] == ["MSE ↓", "0.01235", "[0.011, 0.014]", "n = 48"]

    def test_missing_numbers_have_their_reason(self, page: Page) -> None:
        start = page.texts.index("FID ↓")
        assert page.texts[start : start + 2] == ["FID ↓", "–"]
        assert page.texts[start + 2].startswith("no weights")

    def test_all_are_in_tables(self, page: Page) -> None:
        for name in ("mse/avg", "fid", "mse", "detection/reference_detections", "action_variance/frequency"):
            assert name in page.texts
        row = page.texts.index("action_variance/frequency")
        assert page.texts[row : row + 3] == ["action_variance/frequency", "0.75", "0.25"]
        positions = page.texts[page.texts.index("position") :]
        assert positions[1:4] == ["mse", "ssim", "detection/reference_detections"]
        assert positions[4:16] == ["0", "0", "1", "4", "1", "0.01", "–", "–", "2", "0.03", "–", "–"]

    def test_provenance_is_shown(self, page: Page) -> None:
        assert "checkpoint 0123456789ab" in page.text
        assert "0123456789abcdef" * 4 in page.text

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "–"),
            (0.000012345, "1.234e-05"),
            (12345, "12345"),
            (1.0, "1"),
            ([[1.5, None], [2, 3]], "((1.5, –), (2, 3))"),
        ],
    )
    def test_as_text(self, value: object, text: str) -> None:
        assert format_value(value) == text  # type: ignore[arg-type]


class TestCurves:
    def test_start_at_the_first_generated_frame(self) -> None:
        (title, curve), *others = curves(RESULTS).items()
        assert title == "MSE"
        assert curve.values.tolist() == [0.01, 0.03]
        assert curve.intervals is not None
        assert np.isnan(curve.intervals[0]).all()
        assert curve.intervals[1].tolist() == [0.02, 0.04]
        assert others == []

    def test_of_distances_are_among_them(self) -> None:
        values = {f"detection/center_distance/{index}": float(index) for index in range(3)}
        assert curves(Results(dict(values)))["ADD"].values.tolist() == [1, 2]


class TestPictures:
    def test_animations_repeat_and_show_all_starts(self, page: Page) -> None:
        animations = [image for image in page.images if (image["alt"] or "").startswith("animation")]
        assert [image["alt"] for image in animations] == [
            f"animation of action {action}, repeated from 3 starts" for action in (1, 2)
        ]
        picture = decoded(animations[0])
        assert picture.n_frames == 4  # type: ignore[attr-defined]
        assert picture.info["loop"] == 0
        assert picture.size == (2 * 8 * 24 + 2, 2 * 8 * 16 + 2)

    def test_the_animation_plays_the_frames(self, tmp_path: Path) -> None:
        shades = np.array([20, 120, 220], np.uint8)
        sequence = np.broadcast_to(shades[None, :, None, None, None], (1, 3, 16, 16, 3))
        write_report(
            tmp_path,
            Results(),
            evidence(demonstrations={1: sequence}, best=[], worst=[], movements=None, confusion=None),
        )
        images = Page((tmp_path / "report.html").read_text()).images
        animation, strip = (decoded(image) for image in images[:2])
        seen = []
        for index in range(3):
            animation.seek(index)
            seen.append(animation.convert("RGB").getpixel((40, 40))[0])  # type: ignore[index]
        assert np.abs(np.array(seen) - shades.astype(int)).max() <= 3
        row = np.asarray(strip.convert("RGB"))[64, [64, 194, 324], 0].astype(int)
        assert np.abs(row - shades).max() <= 3

    def test_truth_is_above_generation(self, tmp_path: Path) -> None:
        pair = SequencePair("a", 0.1, np.full((40, 32, 32, 3), 200, np.uint8), np.full((40, 32, 32, 3), 50, np.uint8))
        write_report(
            tmp_path, Results(), evidence(demonstrations={}, best=[], worst=[pair], movements=None, confusion=None)
        )
        page = Page((tmp_path / "report.html").read_text())
        (image,) = (image for image in page.images if image["class"] == "frames")
        pixels = np.asarray(decoded(image).convert("L")).astype(int)
        assert pixels.shape == (2 * 128 + 2, 12 * 130 - 2)
        assert abs(pixels[64, 64] - 200) <= 3
        assert abs(pixels[194, 64] - 50) <= 3
        assert "a: MSE 0.1; frames 0, 4, 7, 11, 14, 18, 21, 25, 28, 32, 35, 39" in page.text
        assert "Best sequences" not in page.text

    def test_size_is_bounded(self, tmp_path: Path) -> None:
        ramp = np.linspace(0, 255, 256)
        image = (ramp[:, None, None] * 0.5 + ramp[None, :, None] * 0.5).repeat(3, axis=2)
        noisy = image + np.random.default_rng(0).normal(0, 12, (8, 256, 256, 3))
        sequence = noisy.clip(0, 255).astype(np.uint8)[np.arange(40) % 8]
        pairs = [SequencePair("a", 0.1, sequence, sequence)]
        found = evidence(
            demonstrations={1: np.stack([sequence] * 6)}, best=pairs, worst=[], movements=None, confusion=None
        )
        write_report(tmp_path, Results(), found)
        images = Page((tmp_path / "report.html").read_text()).images
        animation, strip, _ = (decoded(image) for image in images if image["class"] == "frames")
        assert animation.size == (2 * 192 + 2,) * 2
        assert animation.n_frames == ANIMATION_FRAMES  # type: ignore[attr-defined]
        assert strip.size == (8 * 130 - 2, 4 * 130 - 2)
        assert (tmp_path / "report.html").stat().st_size < 1e6


class TestPlots:
    def test_are_files_too(self, folder: Path) -> None:
        names = {"per_position", "movement_by_action", "movement_merged", "movement_mean", "action_usage", "confusion"}
        kinds = {path.name for path in (folder / "plots").iterdir()}
        assert kinds == {f"{name}.{kind}" for name in names for kind in ("png", "pdf")}

    def test_of_what_is_unknown_are_left_out(self) -> None:
        found = evidence(movements=None, movement_actions=None, confusion=None, true_actions=[])
        assert [name for name, _ in draw_figures(Results(), found)] == ["action_usage"]
        found = evidence(movements=np.empty((0, 2)), movement_actions=np.empty(0, int))
        assert [name for name, _ in draw_figures(RESULTS, found)] == ["per_position", "action_usage", "confusion"]


def test_a_report_of_nothing(tmp_path: Path) -> None:
    found = evidence(
        movements=None,
        movement_actions=None,
        confusion=None,
        action_usage=np.zeros(2),
        best=[],
        worst=[],
        demonstrations={},
    )
    write_report(tmp_path / "run", Results(), found)
    page = Page((tmp_path / "run/report.html").read_text())
    assert "Evaluation of run" in page.texts
    assert "Nothing is tracked in this evaluation, so that movements are unknown." in page.texts


def test_actions_have_their_names(tmp_path: Path) -> None:
    named = evidence(action_names=["left", f"<b>{ATTACK}"])
    write_report(tmp_path, RESULTS, named)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    texts = " ".join(Page(html).texts)
    assert "Action 1: left" in texts
    assert f"Action 2: <b>{ATTACK}" in texts
