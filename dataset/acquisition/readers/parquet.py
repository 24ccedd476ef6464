"""Reading of Parquet tables of numbers and pictures with pyarrow, an optional dependency."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from dataset.acquisition.readers.files import explaining_damage
from dataset.acquisition.readers.source import SourceError
from utils.extras import missing_package

MAX_VALUES = 2**26
"""Maximum number of values in a column of a file, which may claim any number in few bytes."""

MAX_PICTURE_BYTES = 2**33
"""Maximum number of bytes in a column of pictures."""

_ROWS_AT_ONCE = 16
"""Number of pictures that are read at a time."""


def import_pyarrow() -> ModuleType:
    """Import `pyarrow` with `pyarrow.parquet`.

    Raises:
        UserError: it is not installed.
    """
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise missing_package("reading or writing LeRobot", "pyarrow", "readers") from error
    return pyarrow


def numeric_columns(file: Path) -> set[str]:
    """Return the names of a table's columns that hold numbers or lists of numbers.

    Raises:
        SourceError: the table cannot be read or a column has too many values.
    """
    pyarrow = import_pyarrow()
    with explaining_damage(str(file)), pyarrow.parquet.ParquetFile(file) as table:
        columns = {field.name for field in table.schema_arrow if _is_numeric(pyarrow.types, field.type)}
        groups = [table.metadata.row_group(group) for group in range(table.metadata.num_row_groups)]
        for column in range(table.metadata.num_columns):
            if sum(group.column(column).num_values for group in groups) > MAX_VALUES:
                raise SourceError(f"{file}: has more than {MAX_VALUES} values in a column; split the table")
    return columns


def read_columns(file: Path, columns: Sequence[str], **equal: int) -> dict[str, list[Any]]:
    """Return columns of numbers or lists of numbers, restricted to rows whose other columns `equal` given values.

    Raises:
        SourceError: a column is missing or of another type, or the table cannot be read.
    """
    missing = {*columns, *equal} - numeric_columns(file)
    if missing:
        raise SourceError(f"{file}: has no column {' or '.join(sorted(missing))} of numbers; export the data set again")
    filters = [(column, "=", value) for column, value in equal.items()]
    with explaining_damage(str(file)):
        table = import_pyarrow().parquet.read_table(file, columns=list(columns), filters=filters or None)
        return table.to_pydict()


def read_pictures(file: Path, column: str, episode_index: int) -> Iterator[bytes]:
    """Yield the encoded pictures of a column, in the rows of an episode.

    Raises:
        SourceError: there is no such column, it has too many bytes, or the table cannot be read.
    """
    pyarrow = import_pyarrow()
    with explaining_damage(str(file)), pyarrow.parquet.ParquetFile(file) as table:
        metadata = table.metadata
        places = [
            chunk
            for group in range(metadata.num_row_groups)
            for index in range(metadata.num_columns)
            if (chunk := metadata.row_group(group).column(index)).path_in_schema == f"{column}.bytes"
        ]
        if not places:
            raise SourceError(f"{file}: has no column {column} with pictures; export the data set again")
        if sum(chunk.total_uncompressed_size for chunk in places) > MAX_PICTURE_BYTES:
            raise SourceError(f"{file}: has more than {MAX_PICTURE_BYTES} bytes of pictures; split the table")
        columns = ["episode_index", f"{column}.bytes"]
        for batch in table.iter_batches(_ROWS_AT_ONCE, columns=columns):
            for row in batch.to_pylist():
                if row["episode_index"] == episode_index:
                    yield row[column]["bytes"] or b""


def _is_numeric(types: Any, type_: Any) -> bool:
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        type_ = type_.value_type
    return types.is_integer(type_) or types.is_floating(type_) or types.is_boolean(type_)
