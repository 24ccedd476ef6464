import base64
import hashlib

from web.content_policy import with_policy

HTML = """<head>
<meta charset="utf-8">
<style>a { color: red }</style>
</head>
<script type="importmap">{"imports": {}}</script>
<script type="application/gzip">data</script>
<script type="module" src="page.js" onerror="sorry()"></script>
<script type="module">import "page.js";</script>
"""


def named(code: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}'"


def directives(html: str) -> dict[str, set[str]]:
    (element,) = [line for line in html.splitlines() if "Content-Security-Policy" in line]
    text = element.removeprefix('<meta http-equiv="Content-Security-Policy" content="').removesuffix('">')
    return {name: set(sources) for name, *sources in (part.split() for part in text.split("; "))}


def test_only_the_page_s_own_code_runs() -> None:
    html = with_policy(HTML, "data:")
    assert html.index("Content-Security-Policy") < html.index("<style>")
    policy = directives(html)
    codes = ['{"imports": {}}', 'import "page.js";', "sorry()"]
    assert policy["script-src"] == {"data:", "blob:", "'wasm-unsafe-eval'", "'unsafe-hashes'", *map(named, codes)}
    assert policy["style-src"] == {named("a { color: red }")}
    assert policy["connect-src"] == policy["worker-src"] == {"blob:"}
    assert [policy[name] for name in ("default-src", "base-uri", "form-action")] == [{"'none'"}] * 3


def test_files_are_fetched_from_where_they_are() -> None:
    policy = directives(
        with_policy('<head>\n<meta charset="utf-8">\n</head>', "'self'", ["'self'", "https://a.org/b/"])
    )
    assert policy["script-src"] == {"'self'", "blob:", "'wasm-unsafe-eval'"}
    assert policy["style-src"] == {"'self'"}
    assert policy["connect-src"] == {"'self'", "https://a.org/b/", "blob:"}
    assert policy["worker-src"] == {"'self'", "blob:"}


def test_there_is_one_policy() -> None:
    again = with_policy(with_policy(HTML, "'self'", ["'self'"]), "data:")
    assert again == with_policy(HTML, "data:")
