"""Safe unpickler for plain data: it calls and imports nothing that the file names.

A pickle is a program for a small stack machine. Python's own machine may call anything importable, so this module
implements one with only the operations that build plain values, on top of `pickletools.genops`, which just splits the
bytes. The globals that numpy arrays need are recognised by name and handled in `_reduce` and `_build`; numpy itself
gets a shape, a dtype and bytes only after they were checked for consistency.

Accepted: None, bool, int, float, str, bytes, list, tuple, dict, set, `collections.OrderedDict`, and numpy arrays and
scalars of booleans, integers and floats, as numpy 1 and 2 pickle them with protocol 3 or later.
"""

import itertools
import math
import operator
import os
import reprlib
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from io import BytesIO
from pathlib import Path
from pickletools import genops
from types import NoneType
from typing import Any

import numpy as np

from utils.command import UserError, one_line

MAX_BYTES = 2**25
_MAX_OPERATIONS = 2**22
_MAX_DEPTH = 32
_DTYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
_SCALARS = (NoneType, bool, int, float)
_KEYS = (*_SCALARS, str, bytes)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_EMPTY_CONTAINERS = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}


class RestrictedPickleError(UserError):
    """A pickle that is damaged, too large, or holds more than plain data."""


class _Global(Enum):
    """Accepted globals; the objects of those names are never accessed."""

    NDARRAY = auto()
    DTYPE = auto()
    RECONSTRUCT = auto()
    FROMBUFFER = auto()
    SCALAR = auto()
    ORDERED_DICT = auto()
    SET = auto()


_GLOBALS = {
    "numpy.ndarray": _Global.NDARRAY,
    "numpy.dtype": _Global.DTYPE,
    "numpy.core.multiarray._reconstruct": _Global.RECONSTRUCT,
    "numpy._core.multiarray._reconstruct": _Global.RECONSTRUCT,
    "numpy.core.numeric._frombuffer": _Global.FROMBUFFER,
    "numpy._core.numeric._frombuffer": _Global.FROMBUFFER,
    "numpy.core.multiarray.scalar": _Global.SCALAR,
    "numpy._core.multiarray.scalar": _Global.SCALAR,
    "collections.OrderedDict": _Global.ORDERED_DICT,
    "builtins.set": _Global.SET,
    "__builtin__.set": _Global.SET,
}


@dataclass
class _Dtype:
    """A numpy dtype under construction: a pickle sets the byte order after it has referred to the dtype."""

    code: str
    byte_order: str = "="

    def to_numpy(self) -> np.dtype[Any]:
        return np.dtype(self.byte_order + self.code)


def load(path: Path | str, max_bytes: int = MAX_BYTES) -> Any:
    """Load the value in a pickle file, made of the plain types listed in the module's docstring.

    Memory and time are bounded by `max_bytes`, not by what the file claims: the value, with every reference expanded,
    has at most `max_bytes` elements and characters and is at most 32 containers deep, so callers may copy or convert it
    by plain recursion.

    Raises:
        RestrictedPickleError: the file is larger than `max_bytes`, damaged, has trailing bytes, or holds anything but
            plain data. The message names the file and the refused global or operation.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise _refusal(path, f"it is larger than {max_bytes} bytes")
        data = file.read(size)
    try:
        value = _Machine(data).run()
        _spend(value, max_bytes)
    except ValueError as error:
        raise _refusal(path, one_line(error)) from error
    except (LookupError, TypeError, OverflowError) as error:
        raise _refusal(path, "it is damaged") from error
    return value


def _refusal(path: Path | str, reason: str) -> RestrictedPickleError:
    remedy = "write it again with plain lists, dicts, numbers, strings and numeric numpy arrays"
    return RestrictedPickleError(f"{path}: the pickle is refused: {reason}; {remedy}")


def _operations(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the name and the argument (None if it has none) of each operation in the pickle `data`."""
    stream = BytesIO(data)
    for count, (opcode, argument, _) in enumerate(genops(stream)):
        if count == _MAX_OPERATIONS:
            raise ValueError(f"it holds more than {_MAX_OPERATIONS} operations")
        yield opcode.name, argument
    if stream.tell() != len(data):
        raise ValueError("other bytes follow its end")


class _Machine:
    """Stack machine for one run over one pickle.

    A refused pickle raises `ValueError`, or the exception of a failed stack operation.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._copies_left = len(data)

    def run(self) -> Any:
        memo: dict[int, Any] = {}
        stack: list[Any] = []
        outer_stacks: list[list[Any]] = []
        for operation, argument in _operations(self._data):
            match operation:
                case "MEMOIZE":
                    memo[len(memo)] = stack[-1]
                case "PUT" | "BINPUT" | "LONG_BINPUT":
                    memo[argument] = stack[-1]
                case "GET" | "BINGET" | "LONG_BINGET":
                    stack.append(memo[argument])
                case "BININT" | "BININT1" | "BININT2" | "INT" | "LONG" | "LONG1" | "BINFLOAT" | "FLOAT":
                    stack.append(argument)
                case "SHORT_BINUNICODE" | "BINUNICODE" | "BINUNICODE8" | "UNICODE":
                    stack.append(argument)
                case "SHORT_BINBYTES" | "BINBYTES" | "BINBYTES8" | "BYTEARRAY8":
                    stack.append(argument)
                case "NONE" | "NEWTRUE" | "NEWFALSE":
                    stack.append(_CONSTANTS[operation])
                case "EMPTY_LIST" | "EMPTY_TUPLE" | "EMPTY_DICT" | "EMPTY_SET":
                    stack.append(_EMPTY_CONTAINERS[operation]())
                case "MARK":
                    outer_stacks.append(stack)
                    stack = []
                case "APPENDS" | "SETITEMS" | "ADDITEMS":
                    items, stack = stack, outer_stacks.pop()
                    _put(stack[-1], items)
                case "APPEND":
                    item = stack.pop()
                    _put(stack[-1], [item])
                case "SETITEM":
                    item, key = stack.pop(), stack.pop()
                    _put(stack[-1], [key, item])
                case "LIST" | "TUPLE" | "DICT":
                    items, stack = stack, outer_stacks.pop()
                    stack.append(_container(operation, items))
                case "TUPLE1" | "TUPLE2" | "TUPLE3":
                    items = [stack.pop() for _ in range(int(operation[-1]))]
                    stack.append(tuple(reversed(items)))
                case "GLOBAL":
                    module, _, name = argument.partition(" ")
                    stack.append(_global(module, name))
                case "STACK_GLOBAL":
                    name, module = stack.pop(), stack.pop()
                    stack.append(_global(module, name))
                case "REDUCE":
                    arguments, function = stack.pop(), stack.pop()
                    stack.append(self._reduce(function, arguments))
                case "BUILD":
                    state = stack.pop()
                    self._build(stack[-1], state)
                case "PROTO" | "FRAME" | "STOP":
                    pass
                case _:
                    raise ValueError(f"it uses the operation {operation} {reprlib.repr(argument)}")

        if outer_stacks or len(stack) != 1:
            raise ValueError("it does not end with exactly one value")
        return stack[0]

    def _reduce(self, function: Any, arguments: Any) -> Any:
        match function, arguments:
            case _Global.RECONSTRUCT, (_Global.NDARRAY, (0,), b"b"):
                return np.empty(0, np.int8)
            case _Global.FROMBUFFER, (
                bytes() | bytearray() as raw,
                _Dtype() as dtype,
                shape,
                "C" | "F" as order,
            ):
                array = np.empty(0, np.int8)
                self._fill(array, shape, dtype, order == "F", bytes(raw))
                return array
            case _Global.SCALAR, (_Dtype() as dtype, bytes() as raw):
                scalar = np.empty(0, np.int8)
                self._fill(scalar, (), dtype, False, raw)
                return scalar[()]
            case _Global.DTYPE, (str() as code, _, _):
                if code not in _DTYPES:
                    raise ValueError(f"it holds the numpy dtype {reprlib.repr(code)}")
                return _Dtype(code)
            case _Global.ORDERED_DICT, ():
                return OrderedDict()
            case _Global.SET, ([*items],):
                self._spend_copied(len(items))
                return set(_keys(items))
        raise ValueError(f"it calls {reprlib.repr(function)} with arguments that neither Python nor numpy writes")

    def _build(self, target: Any, state: Any) -> None:
        match target, state:
            case _Dtype(), (3, "<" | ">" | "=" | "|" as byte_order, None, None, None, -1, -1, 0):
                target.byte_order = byte_order
            case np.ndarray(), (1, shape, _Dtype() as dtype, bool() as is_fortran, bytes() as raw):
                self._fill(target, shape, dtype, is_fortran, raw)
            case _:
                raise ValueError(f"it sets a state of {type(target).__name__} that numpy does not write")

    def _fill(self, array: np.ndarray, shape: Any, dtype: _Dtype, is_fortran: bool, raw: bytes) -> None:
        """Turn `array` in place into the array that `raw` holds, so that existing references see it."""
        if type(shape) is not tuple or len(shape) > _MAX_DEPTH or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("it holds an array of an impossible shape")
        numpy_dtype = dtype.to_numpy()
        if math.prod(shape) * numpy_dtype.itemsize != len(raw):
            raise ValueError("it holds an array whose shape contradicts its data")
        self._spend_copied(len(raw))
        state: Any = (1, shape, numpy_dtype, is_fortran, raw)
        array.__setstate__(state)

    def _spend_copied(self, amount: int) -> None:
        """Limit copied bytes to the size of the file: more can only come from copying the same data repeatedly."""
        self._copies_left -= amount
        if self._copies_left < 0:
            raise ValueError("it copies the same data again and again")


def _global(module: Any, name: Any) -> _Global:
    full_name = f"{module}.{name}" if type(module) is type(name) is str else "without a name"
    if full_name not in _GLOBALS:
        raise ValueError(f"it refers to the global {full_name[:100]!r}, which is not plain data")
    return _GLOBALS[full_name]


def _container(operation: str, items: list[Any]) -> list[Any] | tuple[Any, ...] | dict[Any, Any]:
    """The list, tuple or dict that an operation makes of the items above the mark."""
    if operation == "DICT":
        entries: dict[Any, Any] = {}
        _put(entries, items)
        return entries
    return tuple(items) if operation == "TUPLE" else items


def _put(container: Any, items: list[Any]) -> None:
    if type(container) is list:
        container.extend(items)
    elif type(container) is set:
        container.update(_keys(items))
    elif type(container) in (dict, OrderedDict):
        container.update(zip(_keys(items[::2]), items[1::2], strict=True))
    else:
        raise ValueError(f"it puts items into a {type(container).__name__}")


def _keys(items: list[Any]) -> list[Any]:
    """Return the items if their hashes are fast to compute and hard to make collide, else raise `ValueError`."""
    for item in items:
        if type(item) not in _KEYS or (type(item) is int and item.bit_length() > 64):
            raise ValueError(f"it holds a {type(item).__name__} as a key or in a set; only short scalars can be there")
    return items


def _spend(value: Any, budget: int, depth: int = 0) -> int:
    """Return `budget` minus the number of elements and characters in `value`, with all references expanded."""
    budget -= 1
    children: Iterable[Any] = ()
    if isinstance(value, np.ndarray):
        depth += value.ndim
        budget -= sum(itertools.accumulate(value.shape, operator.mul))
    elif type(value) in (str, bytes):
        budget -= len(value)
    elif type(value) in (dict, OrderedDict):
        children = itertools.chain(value.keys(), value.values())
    elif type(value) in (list, tuple, set):
        children = value
    elif type(value) not in _SCALARS and not isinstance(value, np.generic):
        raise ValueError("it holds a fragment of an array as a value")
    if budget < 0:
        raise ValueError("it unfolds to far more data than the file holds")
    if depth > _MAX_DEPTH:
        raise ValueError(f"it is nested more than {_MAX_DEPTH} deep or contains itself")
    for child in children:
        budget = _spend(child, budget, depth + 1)
    return budget
