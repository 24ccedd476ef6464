import collections
import contextlib
import decimal
import math
import os
import pickle
import random
import struct
import sys
import tracemalloc
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataset.restricted_pickle import RestrictedPickleError, load
from utils.command import UserError

PLAIN_VALUES = [
    None,
    True,
    -1,
    2**31,
    -(2**63),
    2**200,
    0.1,
    math.inf,
    "",
    "é \U0001f600 \n",
    [],
    [1, [2.5, None], "x"],
    (),
    (1,),
    (1, 2, 3, 4),
    {},
    {"a": 1, 2: [3], None: {"b": ()}},
    OrderedDict([("z", 1), ("a", 2)]),
    list(range(5000)),
    {str(number): number for number in range(2000)},
]
ARRAY_VALUES = [
    b"\x00\xff",
    {1, "two", 3.0},
    set(),
    *(np.arange(6).astype(code) for code in ("?", "i1", "u2", "<i4", ">i4", "i8", "u8", "f2", ">f4", "f8")),
    np.arange(6.0).reshape(2, 3),
    np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    np.arange(12.0).reshape(3, 4)[::2, 1:],
    np.array(2.5),
    np.zeros(0),
    np.zeros((0, 4), np.float32),
    np.float32(0.1),
    np.float64(0.1),
    np.int64(-7),
    np.uint8(200),
    np.bool_(True),
]

MARK = b"("
EMPTY_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(K\x00tC\x01btR"
FLOAT32 = (
    b"cnumpy\ndtype\n(X\x02\x00\x00\x00f4\x89\x88tR(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
)


def short_string(text: str) -> bytes:
    return b"\x8c" + bytes([len(text)]) + text.encode()


def long_int(value: int) -> bytes:
    data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(data)]) + data


def array(
    shape: bytes, raw: bytes, dtype: bytes = FLOAT32, version: bytes = b"K\x01", fortran: bytes = b"\x89"
) -> bytes:
    return EMPTY_ARRAY + MARK + version + shape + dtype + fortran + b"C" + bytes([len(raw)]) + raw + b"tb"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "metadata.pkl"


def load_bytes(file: Path, data: bytes, **options: int) -> Any:
    file.write_bytes(data)
    return load(file, **options)


def refusal(file: Path, data: bytes, **options: int) -> str:
    with pytest.raises(RestrictedPickleError) as caught:
        load_bytes(file, data, **options)
    message = str(caught.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    assert len(message) < len(str(file)) + 400
    return message


def assert_same(actual: Any, expected: Any) -> None:
    assert type(actual) is type(expected)
    if isinstance(expected, np.ndarray | np.generic):
        assert actual.dtype == expected.dtype.newbyteorder("=")
        np.testing.assert_array_equal(actual, expected)
    else:
        assert actual == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", PLAIN_VALUES, ids=lambda value: repr(value)[:30])
def test_reads_plain_values_of_every_protocol(file: Path, value: Any, protocol: int) -> None:
    assert_same(load_bytes(file, pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("value", ARRAY_VALUES, ids=lambda value: type(value).__name__)
def test_reads_bytes_sets_arrays_and_scalars(file: Path, value: Any, protocol: int) -> None:
    assert_same(load_bytes(file, pickle.dumps(value, protocol)), value)


@pytest.mark.parametrize("package", [b"numpy.core", b"numpy._core"])
def test_reads_the_module_names_of_old_and_new_numpy(file: Path, package: bytes) -> None:
    value = [{"state": np.array([0.5, 1.5], np.float32), "score": np.int64(3)}]
    data = pickle.dumps(value, 3).replace(b"numpy._core", b"numpy.core").replace(b"numpy.core", package)
    assert package in data
    (loaded,) = load_bytes(file, data)
    assert_same(loaded["state"], value[0]["state"])
    assert_same(loaded["score"], value[0]["score"])


def test_keeps_the_order_of_array_memory(file: Path) -> None:
    value = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert load_bytes(file, pickle.dumps(value, 3)).flags.f_contiguous


def test_arrays_are_writable_and_own_their_data(file: Path) -> None:
    for protocol in (3, 5):
        loaded = load_bytes(file, pickle.dumps(np.arange(3), protocol))
        assert loaded.flags.writeable
        assert loaded.flags.owndata


def test_values_may_be_referred_to_more_than_once(file: Path) -> None:
    shared = {"state": np.zeros(2)}
    loaded = load_bytes(file, pickle.dumps([shared, shared]))
    assert loaded[0] is loaded[1]


def test_missing_file_is_an_os_error(file: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load(file)


def test_refusals_are_mistakes_the_user_can_mend() -> None:
    assert issubclass(RestrictedPickleError, UserError)


class Calls:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.mkdir, f"{os.mkdir.__module__}.mkdir"),
        (os.system, f"{os.system.__module__}.system"),
        (eval, "eval"),
        (exec, "exec"),
        (getattr, "getattr"),
        (__import__, "__import__"),
        (np.load, "numpy.load"),
        (np.fromfile, "fromfile"),
    ],
)
def test_code_is_refused_by_name_and_does_not_run(file: Path, protocol: int, function: Any, name: str) -> None:
    trap = file.parent / "trap"
    arguments = (f"__import__('os').mkdir({str(trap)!r})",) if function in (eval, exec) else (str(trap),)
    message = refusal(file, pickle.dumps([Calls(function, *arguments)], protocol))
    assert name in message
    assert not trap.exists()


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "builtins.object",
        "builtins.type",
        "builtins.list",
        "builtins.bytearray",
        "builtins.frozenset",
        "collections.OrderedDict.fromkeys",
        "collections.defaultdict",
        "copyreg._reconstructor",
        "_codecs.encode",
        "numpy.load",
        "numpy.array",
        "numpy.memmap",
        "numpy.ndarray.tofile",
        "numpy.core.multiarray.fromfile",
        "numpy.core.multiarray.ndarray",
        "numpy._core.multiarray._reconstruct.__globals__",
        "numpy.testing._private.utils.runstring",
        "numpy.f2py.os.system",
        "dataset.restricted_pickle.load",
        "torch._utils._rebuild_tensor_v2",
        "__main__.x",
        "\n\x1b[31m",
        "x" * 200,
    ],
)
def test_unknown_globals_are_refused_by_name(file: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    message = refusal(file, b"\x80\x04" + short_string(module) + short_string(attribute) + b"\x93.")
    assert repr(f"{module}.{attribute}"[:100]) in message
    if "\n" not in name:
        assert repr(f"{module}.{attribute}"[:100]) in refusal(file, f"c{module}\n{attribute}\n.".encode())


def test_globals_without_a_name_are_refused(file: Path) -> None:
    refusal(file, b"\x80\x04NN\x93.")
    refusal(file, b"\x80\x04]]\x93.")


@pytest.mark.parametrize("name", ["numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.scalar", "builtins.set"])
def test_admitted_globals_are_no_values(file: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    refusal(file, f"c{module}\n{attribute}\n.".encode())
    refusal(file, f"]c{module}\n{attribute}\na.".encode())
    refusal(file, f"}}c{module}\n{attribute}\nNs.".encode())
    refusal(file, f"c{module}\n{attribute}\n}}b.".encode())


@pytest.mark.parametrize(
    ("operation", "data"),
    [
        ("INST", b"(ios\nsystem\n."),
        ("OBJ", b"(No."),
        ("NEWOBJ", b"N)\x81."),
        ("NEWOBJ_EX", b"N)}\x92."),
        ("PERSID", b"Px\n."),
        ("BINPERSID", b"NQ."),
        ("EXT1", b"\x82\x01."),
        ("EXT2", b"\x83\x01\x00."),
        ("EXT4", b"\x84\x01\x00\x00\x00."),
        ("NEXT_BUFFER", b"\x97."),
        ("READONLY_BUFFER", b"N\x98."),
        ("DUP", b"N2."),
        ("POP", b"NN0."),
        ("POP_MARK", b"N(1."),
        ("STRING", b"S'x'\n."),
        ("SHORT_BINSTRING", b"U\x01x."),
        ("LONG4", b"\x8b\x01\x00\x00\x00\x01."),
    ],
)
def test_other_operations_are_refused_by_name(file: Path, operation: str, data: bytes) -> None:
    assert f"operation {operation} " in refusal(file, data)


@pytest.mark.parametrize(
    "value",
    [
        decimal.Decimal(1),
        complex(1, 2),
        range(3),
        frozenset({1}),
        bytearray(b"x"),
        collections.Counter("a"),
        collections.defaultdict(list),
        Path("x"),
        ValueError("x"),
        slice(1),
        np.dtype("f4"),
        np.array(["text"]),
        np.array([b"bytes"]),
        np.array([None], object),
        np.array([Calls(os.mkdir, "trap")], object),
        np.zeros(2, np.complex64),
        np.zeros(2, np.longdouble),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(2, [("x", "f4")]),
        np.zeros(2).view(np.recarray),
        np.ma.masked_array([1, 2], [True, False]),
        np.random.default_rng(0),
    ],
    ids=lambda value: type(value).__name__ + str(getattr(value, "dtype", "")),
)
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_other_types_are_refused(file: Path, value: Any, protocol: int) -> None:
    refusal(file, pickle.dumps([value], protocol))


def test_hand_made_array_is_read(file: Path) -> None:
    loaded = load_bytes(file, b"\x80\x03" + array(b"K\x02\x85", struct.pack("<2f", 0.5, 1.5)) + b".")
    assert_same(loaded, np.array([0.5, 1.5], np.float32))


HUGE = long_int(2**62)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(array(b"K\x03\x85", bytes(8)), id="too little data"),
        pytest.param(array(b"K\x01\x85", bytes(8)), id="too much data"),
        pytest.param(array(HUGE + b"\x85", b""), id="huge"),
        pytest.param(array(HUGE + HUGE + b"\x86", b""), id="huge product"),
        pytest.param(array(long_int(2**64) + b"K\x00\x86", b""), id="overflow"),
        pytest.param(array(long_int(2**40) + b"K\x00\x86", b""), id="many empty rows"),
        pytest.param(array(long_int(-1) + long_int(-2) + b"\x86", bytes(8)), id="negative"),
        pytest.param(array(b"K\x02]\x86", bytes(8)), id="list as a side"),
        pytest.param(array(b"\x88\x85", bytes(4)), id="bool as a side"),
        pytest.param(array(b"G?\xf0\x00\x00\x00\x00\x00\x00\x85", bytes(4)), id="float as a side"),
        pytest.param(array(b"K\x02", bytes(8)), id="no tuple"),
        pytest.param(array(b"]", bytes(4)), id="list as shape"),
        pytest.param(array(MARK + b"K\x01" * 33 + b"t", bytes(4)), id="33 dimensions"),
        pytest.param(array(b"K\x02\x85", bytes(8), version=b"K\x02"), id="version"),
        pytest.param(array(b"K\x02\x85", bytes(8), dtype=b"N"), id="no dtype"),
        pytest.param(array(b"K\x02\x85", bytes(8), dtype=b"X\x02\x00\x00\x00f4"), id="dtype by name"),
        pytest.param(array(b"K\x02\x85", bytes(8), dtype=b"cnumpy\ndtype\n"), id="dtype class"),
        pytest.param(array(b"K\x02\x85", bytes(8), fortran=b"N"), id="order"),
        pytest.param(EMPTY_ARRAY + b"Nb", id="no state"),
        pytest.param(EMPTY_ARRAY + b"}b", id="dict as state"),
        pytest.param(EMPTY_ARRAY + b"(N}X\x03\x00\x00\x00fooK\x01stb", id="slot state"),
        pytest.param(EMPTY_ARRAY + MARK + b"K\x01K\x01\x85" + FLOAT32 + b"\x89]Natb", id="objects as data"),
        pytest.param(
            EMPTY_ARRAY + MARK + b"K\x01K\x01\x85" + FLOAT32 + b"\x89X\x04\x00\x00\x00aaaatb", id="text as data"
        ),
        pytest.param(b"cnumpy.core.multiarray\n_reconstruct\n)R", id="no arguments"),
        pytest.param(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(K\x00tC\x01btR", id="another class"),
        pytest.param(
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(" + HUGE + b"tC\x01btR", id="reconstruct huge"
        ),
        pytest.param(b"cnumpy.core.multiarray\nscalar\n(" + FLOAT32 + b"C\x03abctR", id="short scalar"),
        pytest.param(b"cnumpy.core.multiarray\nscalar\n(" + FLOAT32 + b"tR", id="scalar without data"),
        pytest.param(
            b"cnumpy.core.numeric\n_frombuffer\n(C\x04abcd" + FLOAT32 + HUGE + b"\x85X\x01\x00\x00\x00CtR", id="buffer"
        ),
        pytest.param(b"cnumpy.core.numeric\n_frombuffer\n(C\x04abcd" + FLOAT32 + b"K\x01\x85NtR", id="buffer order"),
        pytest.param(b"cnumpy\nndarray\n(K\x01tR", id="array constructor"),
        pytest.param(b"cnumpy\ndtype\n(X\x02\x00\x00\x00O8\x89\x88tR", id="object dtype"),
        pytest.param(b"cnumpy\ndtype\n(X\x04\x00\x00\x00f4,OtR", id="compound dtype"),
        pytest.param(b"cnumpy\ndtype\n(X\x03\x00\x00\x00V99\x89\x88tR", id="void dtype"),
        pytest.param(b"cnumpy\ndtype\n(]\x89\x88tR", id="dtype from a list"),
        pytest.param(b"cnumpy\ndtype\n(cnumpy\nndarray\n\x89\x88tR", id="dtype from a global"),
        pytest.param(FLOAT32[:-1] + b"0", id="dtype without a build"),
        pytest.param(FLOAT32 + b"}b", id="dtype with a dict state"),
        pytest.param(
            FLOAT32 + b"(K\x03X\x01\x00\x00\x00<NX\x01\x00\x00\x00x}K\x08K\x08K\x00tb", id="dtype with fields"
        ),
        pytest.param(
            FLOAT32 + b"(K\x03X\x01\x00\x00\x00<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x3ftb", id="dtype flags"
        ),
        pytest.param(FLOAT32 + b"(K\x03X\x01\x00\x00\x00<NNNM\xff\xffK\x01K\x00tb", id="dtype item size"),
        pytest.param(FLOAT32, id="dtype as a value"),
        pytest.param(b"ccollections\nOrderedDict\n(]tR", id="ordered dict of pairs"),
        pytest.param(b"ccollections\nOrderedDict\n)R}b", id="ordered dict with a state"),
        pytest.param(b"cbuiltins\nset\n(K\x01tR", id="set of a number"),
        pytest.param(b"cbuiltins\nset\n(](K\x01K\x02tatR", id="set of tuples"),
        pytest.param(b"cbuiltins\nset\n(X\x02\x00\x00\x00abtR", id="set of a string"),
        pytest.param(b"N)R", id="call of None"),
        pytest.param(b"]]R", id="call of a list"),
        pytest.param(b"X\x02\x00\x00\x00os)R", id="call of a string"),
        pytest.param(array(b"K\x02\x85", bytes(8)) + array(b"K\x02\x85", bytes(8)) + b"R", id="call of an array"),
        pytest.param(b"]}b", id="state of a list"),
    ],
)
def test_abused_constructors_are_refused(file: Path, data: bytes) -> None:
    refusal(file, b"\x80\x03" + data + b".")


def test_a_text_scalar_cannot_pose_as_a_dtype(file: Path) -> None:
    assert "'O8'" in refusal(file, pickle.dumps(np.array([1, "x"], object)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b".", id="no value"),
        pytest.param(b"N", id="no end"),
        pytest.param(b"NN.", id="two values"),
        pytest.param(b"N(.", id="open mark"),
        pytest.param(b"a.", id="append to nothing"),
        pytest.param(b"Na.", id="append to an empty stack"),
        pytest.param(b"NNa.", id="append to None"),
        pytest.param(b"]e.", id="no mark"),
        pytest.param(b"}(NNNu.", id="odd number of items"),
        pytest.param(b"}Ns.", id="key without a value"),
        pytest.param(b"N\x87.", id="tuple of too few"),
        pytest.param(b"h\x05.", id="unknown memo"),
        pytest.param(b"\x94.", id="memo of nothing"),
        pytest.param(b"\xff.", id="unknown operation"),
        pytest.param(b"Ix\n.", id="no number"),
        pytest.param(b"I" + b"9" * 10_000 + b"\n.", id="giant number as text"),
        pytest.param(b"L" + b"9" * 10_000 + b"L\n.", id="giant long as text"),
        pytest.param(b"X\x01\x00\x00\x00\xff.", id="no UTF-8"),
        pytest.param(b"V\\ud8\n.", id="no unicode escape"),
        pytest.param(b"X\xff\xff\xff\xffab.", id="string of 4 GiB"),
        pytest.param(b"\x8d" + b"\xff" * 7 + b"\x7fab.", id="string of 2^63 bytes"),
        pytest.param(b"\x8d" + b"\xff" * 8 + b"ab.", id="string of 2^64 bytes"),
        pytest.param(b"\x8e" + b"\xff" * 7 + b"\x7fab.", id="bytes of 2^63 bytes"),
        pytest.param(b"\x96" + b"\xff" * 7 + b"\x0fab.", id="bytearray of 2^60 bytes"),
        pytest.param(b"\x8b\xff\xff\xff\x7f\x01.", id="integer of 2^31 bytes"),
    ],
)
def test_damaged_files_are_refused(file: Path, data: bytes) -> None:
    refusal(file, data)


@pytest.mark.parametrize("protocol", [0, 3, 4, 5])
def test_every_truncation_is_refused(file: Path, protocol: int) -> None:
    value = [{"state": np.arange(2.0), "count": np.int32(1)}] if protocol else [{"count": 1.5, "name": "x"}]
    data = pickle.dumps(value, protocol)
    for length in range(len(data)):
        refusal(file, data[:length])


@pytest.mark.parametrize("garbage", [b"\n", b".", b"cos\nsystem\n.", bytes(100)])
def test_trailing_bytes_are_refused(file: Path, garbage: bytes) -> None:
    assert "other bytes follow" in refusal(file, pickle.dumps([1]) + garbage)


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")
def test_mutated_pickles_load_or_are_refused(file: Path) -> None:
    value = [{"state": np.arange(3, dtype=np.float32), "n": np.int64(3), "s": {1, 2}, "o": OrderedDict(a=(1, 2.5))}]
    randomness = random.Random(0)
    for protocol in (3, 4, 5):
        original = pickle.dumps(value, protocol)
        for _ in range(300):
            data = bytearray(original)
            for _ in range(randomness.randint(1, 4)):
                data[randomness.randrange(len(data))] = randomness.randrange(256)
            with contextlib.suppress(RestrictedPickleError):
                load_bytes(file, bytes(data))


def test_size_is_limited(file: Path) -> None:
    data = pickle.dumps(list(range(100)))
    assert load_bytes(file, data, max_bytes=len(data)) == list(range(100))
    assert f"larger than {len(data) - 1} bytes" in refusal(file, data, max_bytes=len(data) - 1)


def test_number_of_operations_is_limited(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dataset.restricted_pickle._MAX_OPERATIONS", 100)
    assert "more than 100 operations" in refusal(file, b"(" + b"N" * 100 + b"l.")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"]" * 100_000 + b"a" * 99_999 + b".", id="lists"),
        pytest.param(b")" + b"\x85" * 100_000 + b".", id="tuples"),
        pytest.param(b"}N" * 100_000 + b"N" + b"s" * 100_000 + b".", id="dicts"),
        pytest.param(b"}" + b")" + b"\x85" * 100_000 + b"Ns.", id="tuple as a key"),
        pytest.param(b"\x8f(" + b")" + b"\x85" * 100_000 + b"\x90.", id="tuple in a set"),
        pytest.param(b"(" * 100_000 + b"t" * 100_000 + b".", id="marks"),
        pytest.param(b"]\x94h\x00a.", id="list in itself"),
        pytest.param(b"}\x94Nh\x00s.", id="dict in itself"),
        pytest.param(b"]\x94(" + b"h\x00" * 100 + b"e.", id="list many times in itself"),
        pytest.param(b"]\x94h\x00\x85a.", id="list in a tuple in itself"),
    ],
)
def test_nesting_is_limited(file: Path, data: bytes) -> None:
    refusal(file, b"\x80\x04" + data)


def test_32_levels_are_admitted(file: Path) -> None:
    value: list[Any] = []
    for _ in range(32):
        value = [value]
    assert load_bytes(file, pickle.dumps(value)) == value
    assert "more than 32 deep" in refusal(file, pickle.dumps([value]))


def doubling(levels: int, fan_out: int) -> bytes:
    """Each level is a list that refers to the level below `fan_out` times."""
    data = b"]\x94"
    for level in range(levels):
        data += b"](" + (b"h" + bytes([level])) * fan_out + b"e\x94"
    return b"\x80\x04(" + data + b"l."


@pytest.mark.parametrize(("levels", "fan_out"), [(30, 2), (10, 100), (2, 10_000)])
def test_billion_laughs_are_refused(file: Path, levels: int, fan_out: int) -> None:
    assert "unfolds" in refusal(file, doubling(levels, fan_out), max_bytes=2**16)


@pytest.mark.parametrize(
    "shared",
    [
        pytest.param(b"X\x00\x10\x00\x00" + b"a" * 4096, id="string"),
        pytest.param(b"B\x00\x10\x00\x00" + b"a" * 4096, id="bytes"),
        pytest.param(b"](" + b"N" * 4096 + b"e", id="list"),
    ],
)
def test_sharing_counts_as_often_as_it_is_referred_to(file: Path, shared: bytes) -> None:
    assert "unfolds" in refusal(file, b"](" + shared + b"\x94" + b"h\x00" * 1000 + b"e.", max_bytes=2**20)


def test_many_arrays_cannot_copy_the_same_data(file: Path) -> None:
    prelude = b"\x80\x04(B\x00\x10\x00\x00" + bytes(4096) + b"q\x00" + FLOAT32 + b"q\x01M\x00\x04\x85q\x02"
    copy = EMPTY_ARRAY + b"(K\x01h\x02h\x01\x89h\x00tb"
    assert "again and again" in refusal(file, prelude + copy * 100 + b"l.")


def test_many_sets_cannot_copy_the_same_items(file: Path) -> None:
    items = b"](" + b"".join(b"M" + struct.pack("<H", number) for number in range(1000)) + b"eq\x00"
    assert "again and again" in refusal(file, b"\x80\x03(" + items + b"(cbuiltins\nset\nh\x00\x85R" * 100 + b"l.")


def test_colliding_keys_are_refused(file: Path) -> None:
    colliding = [number * sys.hash_info.modulus for number in range(1000, 3000)]
    assert "key" in refusal(file, pickle.dumps(dict.fromkeys(colliding)))
    assert "key" in refusal(file, pickle.dumps(set(colliding)))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"Nr\xff\xff\xff\x7f.", id="LONG_BINPUT"),
        pytest.param(b"Np99999999999999999999\n.", id="PUT"),
    ],
)
def test_huge_memo_indices_take_no_memory(file: Path, data: bytes) -> None:
    assert load_bytes(file, data) is None


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x80\x04" + doubling(20, 20), id="billion laughs"),
        pytest.param(array(HUGE + b"\x85", b""), id="huge array"),
        pytest.param(array(long_int(2**40) + b"K\x00\x86", b""), id="many empty rows"),
        pytest.param(b"\x96" + b"\xff" * 7 + b"\x0fab.", id="huge bytearray"),
        pytest.param(b"\x95" + b"\xff" * 7 + b"\x0fN.", id="huge frame"),
        pytest.param(b"Nr\xff\xff\xff\x7f.", id="huge memo"),
    ],
)
def test_memory_stays_small(file: Path, data: bytes) -> None:
    tracemalloc.start()
    try:
        with contextlib.suppress(RestrictedPickleError):
            load_bytes(file, data, max_bytes=2**16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2**21
