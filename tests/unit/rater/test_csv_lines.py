"""A row is a line, whatever stands in its cells."""

import csv
import io

import pytest

from rater_service.csv_lines import csv_writer

HOSTILE = ("\r=1", "a\rb", "a\nb", "a\r\n", "\r\n", 'a"b', "a,b", "", "\u2028")


def written(*rows: tuple[str, ...], quoted: bool = False) -> str:
    text = io.StringIO(newline="")
    csv_writer(text, quoted=quoted).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("cell", HOSTILE)
def test_whatever_is_in_a_cell_is_read_again_and_makes_no_row(cell: str, quoted: bool) -> None:
    rows = [("a", cell), (cell, "b")]
    text = written(*rows, quoted=quoted)

    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))] == rows


def test_a_carriage_return_is_quoted_and_lines_end_without_one() -> None:
    assert written(("a\rb", "c"), ("d", "e")) == '"a\rb",c\nd,e\n'
