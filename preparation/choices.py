"""Values of a configuration with their reasons, and a YAML file of both."""

from dataclasses import dataclass
from typing import Any

from utils.sections import dump_yaml


@dataclass(frozen=True)
class Choice:
    """A value and, in a few words, the reason for it."""

    value: Any
    why: str = ""


Choices = dict[str, Choice]
"""Choices by key, such as `training.batching.batch_size`."""

Sections = dict[str, Any]
"""Choices or their values, nested like the sections of a configuration."""


def chosen_values(choices: Choices) -> Sections:
    """Return the values nested in sections, for `utils.configuration.parse_configuration`."""
    return _nested({key: choice.value for key, choice in choices.items()})


def to_yaml(title: str, choices: Choices) -> str:
    """Return the text of a configuration file: the lines of `title` as a comment, then each value with its reason."""
    lines = [f"# {line}" for line in title.splitlines()]
    for name, section in _nested(choices).items():
        lines += ["", f"{name}:", *_section_lines(section, "  ")]
    return "\n".join(lines) + "\n"


def _nested(leaves: dict[str, Any]) -> Sections:
    nested: Sections = {}
    for key, leaf in leaves.items():
        *names, last = key.split(".")
        section = nested
        for name in names:
            section = section.setdefault(name, {})
        section[last] = leaf
    return nested


def _section_lines(section: Sections, indent: str) -> list[str]:
    lines = []
    for name, entry in section.items():
        if isinstance(entry, Choice):
            why = f"  # {entry.why}" if entry.why else ""
            lines.append(f"{indent}{name}: {_in_one_line(entry.value)}{why}")
        else:
            lines += [f"{indent}{name}:", *_section_lines(entry, indent + "  ")]
    return lines


def _in_one_line(value: Any) -> str:
    is_printable = not isinstance(value, str) or value.isprintable()
    in_list = dump_yaml([value], default_flow_style=True, width=float("inf"), allow_unicode=is_printable)
    return in_list.strip().removeprefix("[").removesuffix("]")
