"""Formulas as pictures in the page, drawn by matplotlib: no script renders them, from here or from another host."""

import html
import io
import re
from base64 import b64encode

from matplotlib.font_manager import FontProperties
from matplotlib.mathtext import math_to_image

FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_page_content(content: str, **_: object) -> str:
    """Replace the formulas of a page."""
    return FORMULA.sub(picture, content)


def picture(formula: re.Match[str]) -> str:
    """Return a formula as an image that stands on the line of the text.

    Raises:
        ValueError: matplotlib does not know what it holds.
    """
    element, source = formula[1], " ".join(html.unescape(formula[2]).split())
    drawing = io.BytesIO()
    depth = math_to_image(f"${source}$", drawing, prop=FontProperties(size=12), dpi=72, format="svg")
    data = b64encode(drawing.getvalue()).decode()
    style = f"vertical-align: -{depth:.1f}pt"
    image = f'<img alt="{html.escape(source)}" src="data:image/svg+xml;base64,{data}" style="{style}">'
    return f"<{element}>{image}</{element}>"
