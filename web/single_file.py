"""An exported folder as a single HTML file that opens from disk without any requests.

The page's files are embedded in its HTML: style and modules as they are, all others compressed in named elements, in
which `web/page/files.js` finds them instead of fetching them.
"""

import base64
import gzip
import json
import re
from pathlib import Path
from urllib.parse import quote

from utils.command import UserError
from utils.files import replacing
from web.content_policy import with_policy

COMPRESSION_LEVEL = 6
"""Level of gzip: the runtime shrinks to a quarter; higher levels take longer and gain nothing."""

STYLE = re.compile(r'<link rel="stylesheet" href="(?P<file>[^"]+)">')
ENTRY = re.compile(r'<script type="module" src="(?P<file>[^"]+)"[^>]*></script>')
SERVICE_WORKER = "service_worker.js"
"""The script of a served page alone: browsers register none for a file."""

IMPORT, IMPORT_BY_NAME = re.compile(r'\bfrom "\./([\w.]+)"'), r'from "\1"'


def write_single_file(directory: Path, output: Path) -> None:
    """Write a complete exported folder, including the runtime, as one HTML file; existing output is replaced.

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
        file.write(with_policy(f"{head}{elements}\n</body>{tail}", "data:").encode())


def _modules(directory: Path, entry: str) -> str:
    """Return an import map with every module of the page by its file name, and a script that runs the first one."""
    names = {entry, *(path.name for path in directory.glob("*.js"))} - {SERVICE_WORKER}
    imports = {name: _module_address(directory / name) for name in sorted(names)}
    first = f'<script type="module">import "{entry}";</script>'
    return f'<script type="importmap">{json.dumps({"imports": imports})}</script>\n{first}'


def _module_address(path: Path) -> str:
    """Return a module as a data URL; it imports others by name, since imports cannot be relative to such a URL."""
    return f"data:text/javascript,{quote(IMPORT.sub(IMPORT_BY_NAME, _read(path).decode()))}"


def _data_element(name: str, content: bytes) -> str:
    compressed = gzip.compress(content, COMPRESSION_LEVEL, mtime=0)
    return f'<script type="application/gzip" data-file="{name}">{base64.b64encode(compressed).decode()}</script>'


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path}: missing, so that no single file can be made; export with --runtime local") from error
