"""The page of the site that lists every key of a configuration.

Types, ranges and defaults are those of the sections that validate a configuration; what a key is for is said by the
comment beside it in `configs/02_breakout.yaml` and `configs/evaluation/02_breakout.yaml`.
"""

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from evaluation.configuration import EvaluationConfiguration
from utils.configuration import Configuration
from utils.sections import Section

CONFIGS = Path(__file__).parents[2] / "configs"
TWIN = "_pretraining"

INTRODUCTION = """# Configuration

Every key of a configuration, as `--set section.key=value` names it. What a run does not set has the default; a key
without one is required. Those marked *ours* are additions to the authors' configurations.

"""

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "multipleOf": "multiple of"}
"""How the limits of a number are written, by their names in a schema."""

TABLE_HEAD = "| key | values | default | meaning |\n| --- | --- | --- | --- |\n"

Schema = dict[str, Any]
"""Part of a JSON schema, as pydantic makes it of sections."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, "configuration.md", content=page()))
    return files


def page() -> str:
    """Return the page as Markdown."""
    training = comments((CONFIGS / "02_breakout.yaml").read_text(encoding="utf-8"))
    evaluation = comments((CONFIGS / "evaluation/02_breakout.yaml").read_text(encoding="utf-8"))
    return (
        INTRODUCTION
        + "## Training and play\n\nThe files `configs/*.yaml`.\n\n"
        + "".join(sections(Configuration, training))
        + "## Evaluation\n\nThe files `configs/evaluation/*.yaml`.\n\n"
        + "".join(sections(EvaluationConfiguration, evaluation))
    )


def comments(text: str) -> dict[str, str]:
    """Return the comment beside each key of a configuration, or above it, by keys such as `training.batching`."""
    found: dict[str, str] = {}
    above: list[str] = []
    path: list[str] = []
    for line in text.splitlines():
        whole_line = re.match(r" *# (.*)", line)
        if whole_line:
            above.append(whole_line[1])
        elif entry := re.match(r"( *)(\w+):.*?(?:  # (.*))?$", line):
            path = [*path[: len(entry[1]) // 2], entry[2]]
            found[".".join(path)] = entry[3] or " ".join(above)
            above = []
        else:
            above = []
    return found


def sections(kind: type[Section], explained: dict[str, str]) -> Iterator[str]:
    """Yield a heading and a table for each section of a kind of configuration that has keys of its own."""
    schema = kind.model_json_schema()
    for path, section in sections_below(schema, schema["$defs"]):
        required = section.get("required", ())
        rows = "".join(
            row(path, key, value, key in required, explained)
            for key, value in section["properties"].items()
            if "$ref" not in value
        )
        if rows:
            about = section["description"].partition("\n\n")[0].replace("\n", " ")
            yield f"### `{path}`\n\n{about}\n\n{TABLE_HEAD}{rows}\n"


def row(path: str, key: str, value: Schema, is_required: bool, explained: dict[str, str]) -> str:
    """Return the line of a table that tells of a key of the section at `path`."""
    default = "" if is_required else f"`{literal(value['default'])}`"
    cells = (f"<code>{key.replace('_', '_<wbr>')}</code>", kind_of(value), default, explanation(path, key, explained))
    return f"| {' | '.join(cells)} |\n"


def sections_below(schema: Schema, definitions: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Yield each section with its path, outer ones first."""
    if path:
        yield path, schema
    for key, value in schema["properties"].items():
        if "$ref" in value:
            inner = definitions[value["$ref"].rpartition("/")[2]]
            yield from sections_below(inner, definitions, f"{path}.{key}" if path else key)


def kind_of(value: Schema) -> str:
    """Return the type of a key and its range."""
    if "anyOf" in value:
        return " or ".join(map(kind_of, value["anyOf"]))
    if "enum" in value or "const" in value:
        return ", ".join(f"`{literal(each)}`" for each in value.get("enum", [value.get("const")]))
    if value["type"] == "null":
        return "`null`"
    if value["type"] == "array":
        count = f" of {value['minItems']}" if "minItems" in value else ""
        return f"list{count} ({kind_of(value['items'])})"
    limits = ", ".join(f"{sign} {value[name]:g}" for name, sign in BOUNDS.items() if name in value)
    name = {"string": "text", "boolean": "true or false"}.get(value["type"], value["type"])
    return f"{name} {limits}".strip()


def literal(value: Any) -> str:
    """Return a value as YAML has it."""
    return value if isinstance(value, str) and value else json.dumps(value)


def explanation(path: str, key: str, explained: dict[str, str]) -> str:
    """Return what is said of a key.

    What is said of `training.batching.x` is said of `evaluation.batching.x` too.

    Raises:
        KeyError: nothing is said.
    """
    full = f"{path}.{key}"
    said = explained.get(full) or explained.get(full.replace("evaluation.", "training.", 1))
    if not said and key.endswith(TWIN):
        said = "the same, in the pretraining phase"
    if not said:
        raise KeyError(f"no comment explains {full}")
    return html.escape(said, quote=False).replace("[ours]", "*ours:*").replace("|", "\\|")
