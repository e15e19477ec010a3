"""What a file of events looks like: its columns, as `billing_event` has them, and what its footer says."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from rater_service.archive.place import Place, explained
from rater_service.errors import OperatorError

FORMAT = 1
"""Which layout it is. One that is read by nothing but a later version of Phoebe has a higher number."""

_TIME = pa.timestamp("us", tz="UTC")
SCHEMA = pa.schema(
    [
        pa.field("request_id", pa.uuid(), nullable=False),
        pa.field("client_request_id", pa.string()),
        pa.field("producer_id", pa.string()),
        pa.field("producer_seq", pa.int64()),
        pa.field("auth_id", pa.string()),
        pa.field("user_id", pa.string()),
        pa.field("group_id", pa.string()),
        pa.field("resource_id", pa.string()),
        pa.field("resource_type", pa.string()),
        pa.field("base_model", pa.string()),
        pa.field("model_id", pa.string()),
        pa.field("requested_model", pa.string()),
        pa.field("api", pa.string()),
        pa.field("prompt_tokens", pa.int64()),
        pa.field("cached_tokens", pa.int64()),
        pa.field("completion_tokens", pa.int64()),
        pa.field("reasoning_tokens", pa.int64()),
        pa.field("usage_found", pa.bool_(), nullable=False),
        pa.field("usage_raw", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),
        pa.field("status_code", pa.int32()),
        pa.field("finish_reason", pa.string()),
        pa.field("streamed", pa.bool_(), nullable=False),
        pa.field("event_time", _TIME, nullable=False),
        pa.field("start_time", _TIME),
        pa.field("first_byte_time", _TIME),
        pa.field("stored_at", _TIME, nullable=False),
        pa.field("cache_write_tokens", pa.int64()),
        pa.field("prompt_audio_tokens", pa.int64()),
        pa.field("completion_audio_tokens", pa.int64()),
        pa.field("model_untrusted", pa.bool_(), nullable=False),
        pa.field("answer_bytes", pa.int64()),
        pa.field("part_of", pa.uuid()),
        pa.field("part_count", pa.int32(), nullable=False),
        pa.field("usage_partial", pa.bool_(), nullable=False),
        pa.field("model_echoed", pa.bool_(), nullable=False),
        pa.field("summed_as_other", pa.bool_(), nullable=False),
        pa.field("trace_id", pa.binary()),
    ]
)
COLUMNS: tuple[str, ...] = tuple(SCHEMA.names)
# What is a little more than its neighbour takes few bits then. Of all others a dictionary is tried first.
_RISING = ("producer_seq", "event_time", "start_time", "first_byte_time", "stored_at")
_DICTIONARY = [name for name in COLUMNS if name not in {*_RISING, "request_id", "trace_id"}]
# Enough events for a group to compress well, and few enough to be read for those of an hour.
GROUP_EVENTS = 50_000
_LEVEL = 9
_FORMAT_KEY, _INSTALLATION_KEY = b"phoebe.format", b"phoebe.installation"


def footer(installation: str) -> dict[bytes, bytes]:
    """Give what stands in the footer of a file: its format, and whose it is."""
    return {_FORMAT_KEY: str(FORMAT).encode(), _INSTALLATION_KEY: installation.encode()}


def installation_of(metadata: Mapping[bytes, bytes]) -> str:
    """Say whose a file is, by its footer."""
    return metadata.get(_INSTALLATION_KEY, b"").decode()


class EventFileWriter:
    """Writes events to a local file, in groups. The same events give the same file."""

    def __init__(self, path: str, installation: str) -> None:
        self._metadata = footer(installation)
        self._writer = parquet.ParquetWriter(
            path,
            SCHEMA.with_metadata(self._metadata),
            compression="zstd",
            compression_level=_LEVEL,
            use_dictionary=_DICTIONARY,
            column_encoding=dict.fromkeys(_RISING, "DELTA_BINARY_PACKED"),
            write_page_checksum=True,
            write_statistics=True,
        )

    def write_rows(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write a group: at most GROUP_EVENTS rows of `billing_event`, in the order of their ids."""
        arrays = [_array([row[field.name] for row in rows], field.type) for field in SCHEMA]
        self.write_group(pa.Table.from_arrays(arrays, schema=SCHEMA))

    def write_group(self, group: pa.Table) -> None:
        """Write a group as it was read from another file."""
        self._writer.write_table(group.replace_schema_metadata(self._metadata))

    def close(self) -> None:
        """End the file."""
        self._writer.close()


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.uuid():
        values = [None if value is None else value.bytes for value in values]
    return pa.array(values, type=kind)


class EventFile:
    """An open file of events."""

    def __init__(self, place: Place, name: str) -> None:
        """Open it. Raises OperatorError if it is not there, damaged, or made by a later version."""
        self._name = f"{name} of the archive {place.url}"
        with self._explained(), explained(place, name, "read"):
            self._file = parquet.ParquetFile(
                place.open(name), page_checksum_verification=True, pre_buffer=True
            )
            metadata = self._file.metadata.metadata or {}
        made = int(metadata.get(_FORMAT_KEY, b"0"))
        if made > FORMAT:
            raise OperatorError(
                f"{self._name} has format {made}; this Phoebe reads up to {FORMAT}: use a newer one"
            )
        if made < 1 or not set(COLUMNS) <= set(self._file.schema_arrow.names):
            raise OperatorError(f"{self._name} is no file of Phoebe's events")
        self.installation = installation_of(metadata)
        self.events: int = self._file.metadata.num_rows

    def __enter__(self) -> "EventFile":
        """Lend it until it is closed."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it."""
        self._file.close(force=True)

    @property
    def groups(self) -> range:
        """The numbers of its groups."""
        return range(self._file.metadata.num_row_groups)

    def read(self, group: int, columns: Sequence[str] = COLUMNS) -> pa.Table:
        """Read columns of a group. Raises OperatorError if they are damaged."""
        with self._explained():
            return self._file.read_row_group(group, columns=list(columns), use_threads=False)

    def extent(self, group: int, column: str) -> tuple[Any, Any]:
        """Say the lowest and the highest value of a column in a group; of an id its bytes."""
        row_group = self._file.metadata.row_group(group)
        statistics = row_group.column(COLUMNS.index(column)).statistics
        return statistics.min, statistics.max

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise OperatorError(f"{self._name} is damaged, or can't be read: {error}") from error


def rows_of(table: pa.Table) -> list[dict[str, Any]]:
    """Give the rows as the driver gives those of `billing_event`: ids as UUID, times in UTC."""
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    for field in table.schema:
        if pa.types.is_timestamp(field.type):
            columns[field.name] = [
                None if value is None else value.replace(tzinfo=UTC) for value in columns[field.name]
            ]
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
