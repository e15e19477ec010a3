"""What the demo shows: tables of the traffic, the bill, the quotes and what needs a human."""

import os
import sys
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path

from openai.types import CompletionUsage
from rich.console import Console

from demo.bill import Bill, Quote, QuoteCounts
from demo.errors import DemoError
from demo.fitting import FittingTable
from demo.traffic import Seen
from phoebe_proto.v1.rating_pb2 import Anomaly, PriceSource, RatedUsage

# Where the output is no terminal, wide enough that no cell is folded.
PLAIN_WIDTH = 120


class Output(Console):
    """Standard output. When its reader goes away (`| head`), the demo ends as after any other failure."""

    def on_broken_pipe(self) -> None:
        """Silences this console, also for what is still buffered. Raises DemoError."""
        self.quiet = True
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise DemoError("the reader of this output went away")


def open_console() -> Console:
    """The demo's standard output."""
    console = Output(highlight=False)
    return console if console.is_terminal else Output(highlight=False, width=PLAIN_WIDTH)


def traffic_table(answers: Sequence[Seen]) -> FittingTable:
    """One line for each request, as its client saw the answer."""
    return FittingTable(
        "The traffic, as the clients saw it (tokens: prompt/cached/completion, - if not told)",
        ("request", "customer", "resource", "model", "HTTP", "chunks", "tokens"),
        (
            (
                seen.request.title,
                seen.request.auth_id,
                seen.request.resource_id or "-",
                seen.request.model,
                _count(seen.status),
                _count(seen.chunks),
                _tokens(seen.usage),
            )
            for seen in answers
        ),
        frozenset({"HTTP", "chunks", "tokens"}),
    )


def rollups_table(rows: Iterable[RatedUsage]) -> FittingTable:
    """One entry for each rollup of rated usage: tokens times rates is its cost."""
    return FittingTable(
        "Rated usage",
        ("hour (UTC), customer\nresource\nmodel", "events", "tokens x USD per token", "cost USD"),
        map(_rollup_cells, rows),
        frozenset({"events", "cost USD"}),
    )


def _rollup_cells(row: RatedUsage) -> tuple[str, ...]:
    hour = f"{row.window_start.ToDatetime():%m-%d %H:%M}"
    return (
        f"{hour}, {row.auth_id}\n{row.resource_id}\n{row.model_id}",
        str(row.event_count),
        _by_component(
            f"{row.billable_prompt_tokens:>6} x {row.applied_prompt_rate}",
            f"{row.cached_tokens:>6} x {row.applied_cached_rate}",
            f"{row.completion_tokens:>6} x {row.applied_completion_rate}",
        ),
        _money(row.cost),
    )


def quotes_table(quotes: Iterable[Quote], counts: QuoteCounts) -> FittingTable:
    """One line for each price asked for."""
    prompt = f"{counts.prompt} prompt tokens ({counts.cached} of them cached)"
    return FittingTable(
        f"Quotes for {prompt} and {counts.completion} completion tokens",
        ("model", "where the price comes from", "USD per token", "cost USD"),
        map(_quote_cells, quotes),
        frozenset({"cost USD"}),
    )


def _quote_cells(quote: Quote) -> tuple[str, ...]:
    price = quote.price
    if price is None:
        return quote.model_id, f"no price: {quote.refusal}", "-", "-"
    source = PriceSource.Name(price.source).removeprefix("PRICE_SOURCE_").lower().replace("_", " ")
    derived = f": {price.premium}\nfrom {price.derived_from}" if price.derived_from else ""
    rates = _by_component(price.prompt_rate, price.cached_rate, price.completion_rate)
    return quote.model_id, source + derived, rates, _money(price.cost)


def anomalies_table(anomalies: Iterable[Anomaly]) -> FittingTable:
    """One line for each combination of names behind an anomaly."""
    return FittingTable(
        "What needs a human",
        ("anomaly", "customer", "resource", "model", "why", "events", "tokens", "money at risk"),
        (
            (
                anomaly.reason,
                offender.auth_id or "-",
                offender.resource_id or "-",
                offender.model_id or "-",
                offender.detail or "-",
                str(offender.events),
                str(offender.tokens),
                _money(offender.money_at_risk) if offender.money_at_risk else "unknown",
            )
            for anomaly in anomalies
            for offender in anomaly.offenders
        ),
        frozenset({"events", "tokens", "money at risk"}),
    )


def conservation_line(bill: Bill) -> str:
    """Where every admitted exchange went."""
    run = bill.run
    parts = {
        "rated": run.events_rated,
        "unpriced": run.unpriced_events,
        "unattributable": run.unattributable_events,
        "ambiguous base": run.ambiguous_base_events,
        "missing usage": run.missing_usage_events,
        "zero charge": run.zero_charge_events,
    }
    sum_of_parts = " + ".join(f"{count} {name}" for name, count in parts.items())
    return f"{bill.admitted} admitted = {bill.stored} stored = {sum_of_parts}"


CONSOLE_ADDRESS = "127.0.0.1:8080"


def next_steps(bills: Path | None, *, composed: bool = False) -> str:
    """Three things to try next. bills: the data of the embedded PostgreSQL, where it is kept. composed: the
    parts are those of compose.yaml, and go on running.
    """
    if composed:
        return _steps(
            ("docker compose exec rater phoebe report --by customer,model", "what was billed"),
            ("docker compose exec rater phoebe explain 1", "why it says so"),
            ("http://127.0.0.1:3000 and http://127.0.0.1:9090", "Grafana and Prometheus"),
        )
    own_server = ("UPSTREAM=http://127.0.0.1:8000 make demo", "in front of your own model server")
    if bills is None:
        return _steps(
            ("make demo ARGS=--keep", "the same, and its bills stay to be read, in a browser too"),
            own_server,
            (".venv/bin/phoebe prices check prices/example.yaml", "a price file to start your own from"),
        )
    data = f"--data {os.path.relpath(bills)}"
    return _steps(
        (
            f".venv/bin/phoebe serve --console {CONSOLE_ADDRESS} {data}",
            f"the bills in a browser: http://{CONSOLE_ADDRESS}/",
        ),
        (f".venv/bin/phoebe report --by customer,model {data}", "the same here; `explain 1` says why"),
        own_server,
    )


def _steps(*steps: tuple[str, str]) -> str:
    width = max(len(command) for command, _ in steps)
    return "Try next:\n" + "".join(f"  {command:<{width}}  {what}\n" for command, what in steps)


def last_line(bill: Bill) -> str:
    """The line that a program reads: the demo went well, in numbers."""
    run = bill.run
    return (
        f"demo ok: admitted={bill.admitted} stored={bill.stored} rated={run.events_rated} "
        f"unpriced={run.unpriced_events} zero_charge={run.zero_charge_events} "
        f"total_cost={_money(run.total_cost)}"
    )


def _by_component(prompt: str, cached: str, completion: str) -> str:
    return f"prompt     {prompt}\ncached     {cached}\ncompletion {completion}"


def _tokens(usage: CompletionUsage | None) -> str:
    if usage is None:
        return "-"
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details else None
    return f"{usage.prompt_tokens}/{_count(cached)}/{usage.completion_tokens}"


def _count(count: int | None) -> str:
    return "-" if count is None else str(count)


def _money(text: str) -> str:
    return f"{Decimal(text):.9f}"
