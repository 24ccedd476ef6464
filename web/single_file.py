"""An exported folder as one HTML file that opens from disk and requests nothing.

The page's files are put into its HTML: style and modules as they are, everything else compressed, in elements by whose
names `web/page/files.js` finds them instead of fetching them.
"""

import base64
import gzip
import json
import re
from pathlib import Path
from urllib.parse import quote

from utils.command import UserError
from utils.files import replacing

COMPRESSION_LEVEL = 6
"""Of gzip: the runtime shrinks to a quarter, as with higher ones that take longer."""

STYLE = re.compile(r'<link rel="stylesheet" href="(?P<file>[^"]+)">')
ENTRY = re.compile(r'<script type="module" src="(?P<file>[^"]+)"[^>]*></script>')
IMPORT, IMPORT_BY_NAME = re.compile(r'\bfrom "\./([\w.]+)"'), r'from "\1"'


def write_single_file(directory: Path, output: Path) -> None:
    """Make one HTML file of a complete exported folder, runtime included. Existing output is replaced.

    Raises:
        UserError: the folder is not complete.
    """
    html = _read(directory / "index.html").decode()
    game = json.loads(_read(directory / "game.json"))
    data = ["game.json", game["model"]["file"], game["initial_state"]["file"], *game["starts"], game["first_frame"]]
    data += [game["runtime"]["base"] + name for name in game["runtime"]["files"]]
    html = STYLE.sub(lambda match: f"<style>\n{_read(directory / match['file']).decode()}</style>", html)
    html = ENTRY.sub(lambda match: _modules(directory, match["file"]), html)
    elements = "\n".join(_data_element(name, _read(directory / name)) for name in data)
    head, _, tail = html.rpartition("</body>")
    with replacing(output) as file:
        file.write(f"{head}{elements}\n</body>{tail}".encode())


def _modules(directory: Path, entry: str) -> str:
    """An import map that holds every module of the page by its file name, and a script that runs the first one."""
    names = {entry, *(path.name for path in directory.glob("*.js"))}
    imports = {name: _module_address(directory / name) for name in sorted(names)}
    first = f'<script type="module">import "{entry}";</script>'
    return f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n{first}'


def _module_address(path: Path) -> str:
    """A module as an address. It imports others by their names: nothing is relative to such an address."""
    return f"data:text/javascript,{quote(IMPORT.sub(IMPORT_BY_NAME, _read(path).decode()))}"


def _data_element(name: str, content: bytes) -> str:
    compressed = gzip.compress(content, COMPRESSION_LEVEL, mtime=0)
    return f'<script type="application/gzip" data-file="{name}">{base64.b64encode(compressed).decode()}</script>'


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing, so that no single file can be made; export with --runtime local") from error
