"""Pickles and YAML that would run code, and texts that claim or take much: the contents of hostile files.

What would run code makes the folder `outside/trap` beside the working folder.
"""

import os
import pickle
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import torch

TRAP = "../outside/trap"

_FEW, _MANY = 40961, 320 * 2**20
"""Numbers of a tensor as it is, and as it is made to be."""


class _Call:
    """Pickled as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._call = function, arguments

    def __reduce__(self) -> Any:
        return self._call


def _laughs() -> bytes:
    """A pickle of a list that holds itself ten times, thirty levels deep."""
    level: list[Any] = ["ha"]
    for _ in range(30):
        level = [level] * 10
    return pickle.dumps(level)


def _circle() -> bytes:
    circle: list[Any] = []
    circle.append(circle)
    return pickle.dumps(circle)


PICKLES = {
    "calls os.mkdir": pickle.dumps([_Call(os.mkdir, TRAP)] * 2),
    "calls eval": pickle.dumps([_Call(eval, f"__import__('os').mkdir({TRAP!r})")], 2),
    "calls numpy's loader": pickle.dumps(_Call(np.load, "/etc/passwd")),
    "claims a long text": b"\x80\x04\x8d" + (2**62).to_bytes(8, "little") + b"a.",
    "claims a long text of 4 GB": b"\x80\x04X\xff\xff\xff\xffa.",
    "a billion laughs": _laughs(),
    "holds itself": _circle(),
    "nested deep": b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",
}
"""What pickles of annotations may be in place of a list."""

YAMLS = {
    "calls os.mkdir": f"!!python/object/apply:os.mkdir ['{TRAP}']\n",
    "makes a module": "!!python/module:antigravity\n",
    "holds itself": "&a [*a, *a]\n",
    "a section that holds itself": "logging: &a {run_name: x, logging: *a}\n",
    "a billion laughs": "a: &a [x, x, x, x, x, x, x, x, x]\n"
    + "".join(
        f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "a billion laughs of sections": "a: &a {x: 1}\n"
    + "".join(
        f"{new}: &{new} {{{', '.join(f'{key}: *{old}' for key in 'klmnopqrs')}}}\n"
        for old, new in zip("abcdefgh", "bcdefghi", strict=True)
    ),
    "nested deep": "[" * 50_000,
    "a long number": f"logging: {'9' * 100_000}\n",
    "merges itself": "logging: &a\n  <<: *a\n",
}

JSONS = {
    "nested deep": "[" * 200_000,
    "a long number": "9" * 200_000,
    "an infinite number": '{"format_version": 1e999}',
    "no object": "[1, 2, 3]",
    "other types": '{"format_version": 1, "actions": "x", "rewards": {}, "metadata": 7, "dones": null, "events": 3}',
}


def checkpoints(whole: dict[str, Any]) -> dict[str, bytes]:
    """Return what checkpoints may be in place of a whole one: contents by name."""
    named = {name: _saved({**whole, name: _Call(os.mkdir, TRAP)}) for name in ("model", "step", "random_state")}
    return {
        **{f"calls os.mkdir in {name}": data for name, data in named.items()},
        "calls in the old format": pickle.dumps(_Call(os.mkdir, TRAP), 2),
        "a compressed bomb": _bomb(whole),
        "no model": _saved({"step": 1}),
        "a model of texts": _saved({**whole, "model": dict.fromkeys(whole["model"], "x")}),
        "steps beyond all": _saved({**whole, "step": 10**100}),
        "weights that are not numbers": _saved({**whole, "model": _filled(whole["model"], float("nan"))}),
    }


def _filled(weights: dict[str, torch.Tensor], value: float) -> dict[str, torch.Tensor]:
    return {name: torch.full_like(weight.float(), value) for name, weight in weights.items()}


def _saved(contents: Any) -> bytes:
    stream = BytesIO()
    torch.save(contents, stream)
    return stream.getvalue()


def _bomb(contents: dict[str, Any]) -> bytes:
    """A checkpoint of 1.3 GB in 2 MB: its members are compressed, as torch reads but does not write them."""
    packed = BytesIO()
    weights = {**contents["model"], "large": torch.zeros(_FEW)}
    with (
        zipfile.ZipFile(BytesIO(_saved({**contents, "model": weights}))) as whole,
        zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
    ):
        for member in whole.infolist():
            if member.file_size == 4 * _FEW:
                with archive.open(member.filename, "w", force_zip64=True) as stream:
                    for _ in range(_MANY // 2**20):
                        stream.write(bytes(4 * 2**20))
            else:
                few, many = b"M" + _FEW.to_bytes(2, "little"), b"J" + _MANY.to_bytes(4, "little")
                archive.writestr(member.filename, whole.read(member).replace(few, many))
    return packed.getvalue()
