"""The tables of the demo and of chaos, wide and narrow."""

import io

import pytest
from rich.console import Console

from demo.fitting import FittingTable

TABLE = FittingTable(
    "What needs a human",
    ("anomaly", "model", "tokens\ntimes", "money at risk"),
    [
        ("UNPRICED", "meta-llama/Llama-3.1-70B-Instruct", "12 x 0.1\n345 x 0.02", "123456.123456789"),
        ("MODEL_UNTRUSTED", "[red]界[/red]", "-", "unknown"),
    ],
    frozenset({"money at risk"}),
)


def shown(width: int) -> str:
    output = io.StringIO()
    Console(file=output, width=width).print(TABLE)
    return output.getvalue()


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_number_and_no_name_is_broken_or_cut(width: int) -> None:
    words = shown(width).split()
    for word in ("MODEL_UNTRUSTED", "meta-llama/Llama-3.1-70B-Instruct", "0.02", "123456.123456789"):
        assert words.count(word) == 1
    assert "[red]界[/red]" in words
    assert max(map(len, shown(width).splitlines())) <= width


def test_what_does_not_fit_is_written_as_lines() -> None:
    assert "tokens, times: 12 x 0.1\n  345 x 0.02\nmoney at risk: 123456.123456789\n" in shown(60)
    assert "money at risk: " not in shown(120)
