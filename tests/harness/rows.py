"""Where an export goes in tests."""

from collections.abc import Iterable

from rater_service.bills.export_layout import Cell


class KeptRows:
    """A writer that keeps the rows."""

    def __init__(self) -> None:
        self.rows: list[tuple[Cell, ...]] = []

    def write(self, rows: Iterable[tuple[Cell, ...]]) -> None:
        self.rows += rows

    def finish(self) -> None:
        """Nothing is left."""
