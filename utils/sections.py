"""Sections of a YAML file as typed models: read, overridden by `--set`, validated, and explained where wrong."""

import copy
import difflib
import json
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from utils.command import UserError, one_line, tell

PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0)]
NonNegativeFloat = Annotated[float, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]

MAX_VALUES = 100_000
"""Of a configuration: a small file of aliases may stand for any number."""

RETIRED_KEYS = {
    "training.joint_decoding": "it saved no time that could be measured",
    "training.random_actions": "training.loss_weights.action_prior_lambda does it better",
}
"""Keys that are accepted and do nothing any more, each with the reason."""

REPLACED_KEYS = {"logging.wandb": "logging.trackers, such as [wandb] or []"}
"""Keys that are read unless the new one is given, each with this new one."""


class ConfigurationError(UserError):
    """A configuration file, or a `--set` override, that cannot be used."""


class Section(BaseModel):
    """A mapping of the YAML file: immutable, no unknown keys, no silent type conversion."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, protected_namespaces=(), allow_inf_nan=False)


SectionKind = TypeVar("SectionKind", bound=Section)


def load_sections(kind: type[SectionKind], path: str | Path, overrides: list[str] | None = None) -> SectionKind:
    """Read, override and validate a configuration of some kind.

    Args:
        kind: the sections of the file.
        path: a YAML file.
        overrides: `section.key=value` texts that replace values of the file, the values written as in YAML.

    Raises:
        ConfigurationError: the file cannot be read, or has unknown keys, wrong types or impossible values; the message
            names the file and every offending key.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text file"
        raise ConfigurationError(f"{path}: cannot be read ({reason}); --config takes one of configs/*.yaml") from error
    values = parse_yaml(text, str(path))
    if not isinstance(values, dict):
        sections = ", ".join(list(kind.model_fields)[:3])
        raise ConfigurationError(f"{path}: not a configuration (sections {sections}, ... expected)")
    given = flatten(values).keys() | _texts(overrides or []).keys()
    for key in RETIRED_KEYS.keys() & given:
        tell(f"{path}: {key} does nothing any more, since {RETIRED_KEYS[key]}; remove it")
    for key in REPLACED_KEYS.keys() & given:
        tell(f"{path}: {key} is an older name; use {REPLACED_KEYS[key]}, which counts where both are given")
    return parse_sections(kind, values, str(path), overrides)


def parse_sections(
    kind: type[SectionKind], values: dict[str, Any], where: str, overrides: list[str] | None = None
) -> SectionKind:
    """Override and validate nested mappings as sections of some kind.

    Args:
        kind: the sections.
        values: as a YAML file or a checkpoint holds them.
        where: their origin, named in errors.
        overrides: as for `load_sections`.

    Raises:
        ConfigurationError: as `load_sections`.
    """
    values = copy.deepcopy(values)
    for override in overrides or []:
        _override(values, override)
    try:
        return kind.model_validate(_without_retired_keys(values))
    except ValidationError as error:
        problems = "; ".join(_explain(kind, details, _texts(overrides or [])) for details in error.errors())
        raise ConfigurationError(f"{where}: {problems}") from error


def _without_retired_keys(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """A copy of nested mappings that lacks `RETIRED_KEYS`."""
    return {
        key: _without_retired_keys(value, f"{prefix}{key}.") if isinstance(value, dict) else value
        for key, value in values.items()
        if f"{prefix}{key}" not in RETIRED_KEYS
    }


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with keys such as `training.batching.batch_size`."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return flat


def differences(section: Section, prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Return the values that are not the default ones, by key: the value, and the default, None for a required key."""
    found: dict[str, tuple[Any, Any]] = {}
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, Section):
            found |= differences(value, f"{prefix}{name}.")
            continue
        default = None if field.is_required() else field.get_default(call_default_factory=True)
        if field.is_required() or value != default:
            found[prefix + name] = value, default
    return found


class _Loader(yaml.SafeLoader):
    """YAML without code, with `4e-4` read as a number and repeated keys refused."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is not a name", key_node.start_mark)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key '{key}' stands here twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """Writes what `_Loader` reads: a text that looks like one of its numbers is put in quotes."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
    )


def dump_yaml(values: Any, **options: Any) -> str:
    """Return plain values as the YAML of a configuration, which is read back as they are.

    Args:
        values: mappings, lists, texts, numbers, booleans and None.
        options: of `yaml.dump`.
    """
    return yaml.dump(values, Dumper=_Dumper, sort_keys=False, **options)


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain values of a YAML text, which has at most `MAX_VALUES`, and runs no code.

    Args:
        text: as a user, or a stranger, wrote it.
        where: its origin, named in errors.

    Raises:
        ConfigurationError: it is not YAML, or holds too much.
    """
    try:
        values = yaml.load(text, Loader=_Loader)
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:  # values such as 2024-13-45 raise others
        raise ConfigurationError(f"{where}: not readable as YAML: {one_line(error)}") from error
    if not _is_bounded(values):
        raise ConfigurationError(
            f"{where}: holds itself, or more than {MAX_VALUES} values; write it without aliases (*)"
        )
    return values


def _is_bounded(values: Any) -> bool:
    """Whether values have at most `MAX_VALUES` parts, those counted repeatedly that aliases repeat."""
    left = [values]
    for _ in range(MAX_VALUES):
        if not left:
            return True
        value = left.pop()
        left += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return not left


def _texts(overrides: list[str]) -> dict[str, str]:
    """The texts of overrides by key."""
    return {key.strip(): text for key, _, text in (override.partition("=") for override in overrides)}


def _override(values: dict[str, Any], override: str) -> None:
    """Set `section.key=value` in nested mappings, in place."""
    path, separator, text = override.partition("=")
    *sections, key = path.strip().split(".")
    if not separator or not key:
        raise ConfigurationError(f"--set {override}: write section.key=value, such as --set training.max_steps=500")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise ConfigurationError(f"--set {override}: '{section}' is a value, not a section")
    try:
        values[key] = parse_yaml(text, f"--set {override}")
    except ConfigurationError as error:
        raise ConfigurationError(f"{error}; {_as_text(path.strip(), text)}") from error


def _as_text(key: str, text: str) -> str:
    """How to override a key with a text that YAML takes for something else."""
    return f"as text, write --set {shlex.quote(f'{key}={json.dumps(text, ensure_ascii=False)}')}"


def _known_keys(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    """The keys that the section at `location` in a configuration of some kind admits."""
    section = kind
    for part in location:
        annotation = section.model_fields[part].annotation if part in section.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)


def _explain(kind: type[BaseModel], error: ErrorDetails, overriding: dict[str, str]) -> str:
    """One problem as `key: what is wrong (remedy)`. `overriding` has the texts of overrides by key."""
    location = error["loc"]
    key = ".".join(str(part) for part in location) or "(whole file)"
    if error["type"] == "extra_forbidden":
        close = difflib.get_close_matches(str(location[-1]), _known_keys(kind, location[:-1]), n=1)
        return f"{key}: unknown key" + (f", did you mean '{close[0]}'?" if close else ", remove it")
    if error["type"] == "missing":
        return f"{key}: missing"
    key = re.sub(r"\.[\w-]*(\[[\w-]+\]|-float)", "", key)  # the member of a union that was tried, such as list[...]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "string_type":
        message += f" ({_as_text(key, overriding[key]) if key in overriding else 'put it in quotes'})"
    if isinstance(error["input"], dict):
        return f"{key}: {message}"
    return f"{key}: {message}, not {error['input']!r}"
