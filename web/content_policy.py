"""The content policy of a page: it runs only its own code, and asks for nothing but its own files."""

import base64
import hashlib
import re
from collections.abc import Iterable

ELEMENT = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>\n?')
_CHARSET = '<meta charset="utf-8">\n'
_HANDLER = re.compile(r' on[a-z]+="(?P<code>[^"]*)"')
_SCRIPT = re.compile(r"<script(?: type=\"(?:module|importmap)\")?>(?P<code>.*?)</script>", re.DOTALL)
_STYLE = re.compile(r"<style>(?P<code>.*?)</style>", re.DOTALL)

_FILES = "blob:"
"""Files that the page holds in memory: the verified runtime and its threads."""


def with_policy(html: str, modules: str, files: Iterable[str] = ()) -> str:
    """Return a page with an element that says its policy, in the place of the one that it has.

    Code and styles within the page are named by their hashes.

    Args:
        html: the page.
        modules: from where it imports its modules: "'self'", or "data:" where it holds them.
        files: from where it fetches other files.
    """
    html = ELEMENT.sub("", html)
    handlers = [match["code"] for match in _HANDLER.finditer(html)]
    scripts = [match["code"] for match in _SCRIPT.finditer(html)]
    styles = [match["code"] for match in _STYLE.finditer(html)]
    policy = {
        "default-src": ["'none'"],
        "script-src": [
            *(modules, _FILES, "'wasm-unsafe-eval'", *(["'unsafe-hashes'"] if handlers else [])),
            *map(_hash, [*handlers, *scripts]),
        ],
        "worker-src": [*(["'self'"] if modules == "'self'" else []), _FILES],
        "style-src": [*map(_hash, styles)] or ["'self'"],
        "connect-src": [*files, _FILES],
        "img-src": ["data:"],
        "base-uri": ["'none'"],
        "form-action": ["'none'"],
    }
    text = "; ".join(" ".join([name, *sources]) for name, sources in policy.items())
    element = f'<meta http-equiv="Content-Security-Policy" content="{text}">\n'
    return html.replace(_CHARSET, _CHARSET + element, 1)


def _hash(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"
