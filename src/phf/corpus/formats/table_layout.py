"""The layout of a table: whether it is what it says, and one in which every row has values of its own."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa


def validate(batch: "pa.RecordBatch | pa.Table", columns: Iterable[str]) -> None:
    """Validate what a file says about its own layout, which Arrow trusts: a wrong offset would crash the process.

    Whether text is UTF-8 is checked row by row. Raises `pyarrow.ArrowInvalid`.
    """
    import pyarrow as pa

    for name in columns:
        column = batch.column(name)
        try:
            column.validate(full=True)
        except pa.ArrowInvalid as error:
            leaf = getattr(column.type, "value_type", column.type)
            is_text = pa.types.is_string(leaf) or pa.types.is_large_string(leaf) or pa.types.is_string_view(leaf)
            if not (is_text and "UTF8" in str(error)):
                raise


def dense(batch: "pa.RecordBatch") -> "pa.RecordBatch":
    """The same rows without dictionaries of text and views of it, which every slice of a batch would have as a whole."""
    import pyarrow as pa

    schema = pa.schema([field.with_type(_dense(field.type)) for field in batch.schema])
    if schema.equals(batch.schema):
        return batch
    return pa.record_batch(
        [column.cast(kind) for column, kind in zip(batch.columns, schema.types, strict=True)], schema
    )


def _dense(kind: "pa.DataType") -> "pa.DataType":
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_dictionary(kind) and any(
        is_one(kind.value_type)
        for is_one in (types.is_string, types.is_large_string, types.is_binary, types.is_large_binary)
    ):
        return kind.value_type
    if types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_dense(kind.value_type)))
    if types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_dense(kind.value_type)))
    if types.is_struct(kind):
        return pa.struct([field.with_type(_dense(field.type)) for field in kind.fields])
    return kind
