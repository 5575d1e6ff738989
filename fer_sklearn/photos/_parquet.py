"""Parquet, which cannot be appended to: made of JSON lines once these are complete."""

from itertools import islice

from .._utils.files import replacing
from .._utils.optional import import_optional
from ._formats import DamagedFileError, JSONLines

__all__ = ["import_parquet", "lines_to_parquet", "parquet_to_lines"]

# Rows of a row group: some megabytes.
_ROWS_AT_ONCE = 16_384
_TYPES = {"source": "string", "face": "int32", "emotion": "string", "status": "string"}


def import_parquet():
    """Import ``pyarrow.parquet``, or say what to type."""
    return import_optional("pyarrow.parquet", extra="parquet", purpose="Writing Parquet")


def lines_to_parquet(lines_path, path, columns):
    """Write JSON lines to a Parquet file, which is whole or is not there.

    Parameters
    ----------
    lines_path, path : Path
    columns : list of str
    """
    parquet = import_parquet()
    import pyarrow as pa

    schema = pa.schema([(name, _TYPES.get(name, "float64")) for name in columns])
    with open(lines_path, "rb") as lines, replacing(path) as file:
        rows = (row for _, row in JSONLines(columns).read(lines))
        with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
            while some := list(islice(rows, _ROWS_AT_ONCE)):
                writer.write_table(pa.Table.from_pylist(some, schema=schema))


def parquet_to_lines(path, lines_path, columns):
    """Write a Parquet file back to JSON lines, to be gone on with.

    Raises
    ------
    DamagedFileError
        If it is not a Parquet file of these columns.
    """
    parquet = import_parquet()
    import pyarrow as pa

    try:
        table = parquet.ParquetFile(path)
    except pa.ArrowInvalid:
        raise DamagedFileError("is not a Parquet file") from None
    with table:
        if table.schema_arrow.names != columns:
            found = ", ".join(table.schema_arrow.names)
            raise DamagedFileError(f"has the columns {found}; expected {', '.join(columns)}")
        encode = JSONLines(columns).encode
        with replacing(lines_path) as file:
            for batch in table.iter_batches(_ROWS_AT_ONCE):
                file.writelines(map(encode, batch.to_pylist()))
