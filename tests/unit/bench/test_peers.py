"""The table of gateways that were measured beside Phoebe."""

import io

from rich.console import Console

from bench.peers.__main__ import Contestant, table_of
from bench.peers.gateways import headers_for
from bench.proxy_stage import Side


def test_the_table_has_a_line_for_each_with_the_medians_and_what_it_does() -> None:
    phoebe = Contestant(
        "Phoebe 1", "meters", "translates", Side(1, 1), [1.0, 2.0, 4.0], [500.0, 700.0, 600.0]
    )
    other = Contestant("Other 2", "routes", "meters", Side(2, 2), [8.0, 3.0, 1.0], [90.0, 80.0, 85.0])
    console = Console(file=io.StringIO(), width=200)
    console.print(table_of([phoebe, other]))
    assert isinstance(console.file, io.StringIO)
    lines = [line for line in console.file.getvalue().splitlines() if "│" in line]
    assert [[cell.strip() for cell in line.strip("│").split("│")] for line in lines] == [
        ["Phoebe 1", "2.00 (1.00 to 4.00)", "1.00", "600 (500 to 700)", "meters", "translates"],
        ["Other 2", "3.00 (1.00 to 8.00)", "1.50", "85 (80 to 90)", "routes", "meters"],
    ]


def test_every_request_says_where_its_engine_is() -> None:
    assert headers_for(8000)["x-portkey-custom-host"] == "http://127.0.0.1:8000/v1"
