"""What reports are made of: pages of HTML that need no other files, with pictures, plots and tables.

A module of its own, since training imports it, which needs none of the statistics of `evaluation.report`.
"""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from evaluation.plots import FILE_RESOLUTION
from utils.files import replacing
from utils.images import FRAME_MILLISECONDS

TEMPLATES = Path(__file__).parent

MISSING = "–"

LAST_FRAME_MILLISECONDS = 900


@dataclass(frozen=True)
class Picture:
    """An image inside the HTML."""

    uri: str
    width: int
    height: int
    alt: str


@dataclass(frozen=True)
class Table:
    """Numbers as text."""

    title: str
    titles: list[str]
    rows: dict[str, list[str]]
    """The cells of each row after the first one, by the first cell."""


def write_page(path: Path, report: object, template: Path) -> None:
    """Write a report as an HTML file that needs no other.

    Args:
        path: the file.
        report: what the template shows.
        template: extends `page.html` of this folder.

    Raises:
        OSError: it cannot be written.
    """
    folders = FileSystemLoader([template.parent, TEMPLATES])
    environment = Environment(loader=folders, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    html = environment.get_template(template.name).render(report=report)
    with replacing(path) as file:
        file.write(html.encode())


def picture(pages: list[Image.Image], alt: str, quality: int) -> Picture:
    """Return an image, or an animation of several, encoded as WebP of a quality from 0 to 100."""
    durations = [FRAME_MILLISECONDS] * (len(pages) - 1) + [LAST_FRAME_MILLISECONDS]
    file = io.BytesIO()
    pages[0].save(
        file, format="WebP", save_all=True, append_images=pages[1:], duration=durations, loop=0, quality=quality
    )
    return Picture(_data_uri("image/webp", file.getvalue()), *pages[0].size, alt)


def drawing(figure: Figure, alt: str) -> Picture:
    """Return a plot as SVG, for many curves that no file is made of."""
    file = io.BytesIO()
    with rc_context({"svg.fonttype": "none"}):
        figure.savefig(file, format="svg")
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(_data_uri("image/svg+xml", file.getvalue()), width, height, alt)


def plot_picture(png: bytes, alt: str) -> Picture:
    """Return a plot, a PNG file of `FILE_RESOLUTION`."""
    width, height = (side * 96 // FILE_RESOLUTION for side in Image.open(io.BytesIO(png)).size)  # browsers: 96 dpi
    return Picture(_data_uri("image/png", png), width, height, alt)


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
