"""Prices: what was, is and will be in force, one book with its lines, and the quote calculator."""

from collections.abc import Iterator

from phoebe_runtime.counts import counted
from rater_service.bills.rollups import reading
from rater_service.console.query import BadParameterError, link, read_moment, read_name, read_number
from rater_service.console.tables import Cell, Column, Kind, Table, row
from rater_service.console.view import NotFoundError, Page, View
from rater_service.money import TOKENS_MAX, Rates, TokenCounts, cost, per_million
from rater_service.prices.comparison import ModelChange, compare_books
from rater_service.prices.file import LoadedPriceFile
from rater_service.prices.history import Quote
from rater_service.prices.lines import PriceLine, lines_of
from rater_service.prices.loadings import SHORT_HASH_CHARS, Loading, Timeline
from rater_service.prices.resolution import Price, resolve_listed
from rater_service.prices.store import load_history, load_kept_file, read_timeline
from rater_service.views.price_lines import source_text

_KINDS = ("prompt", "cached", "completion")
_LINES_SHOWN = 2_000
_LINES_MAX = 10**9
_MODEL = Column("model_id", "model", Kind.NAME)


async def prices(view: View) -> Page:
    """What is in force, what was, and what will be?"""
    async with reading(view.pool) as connection:
        timeline = await read_timeline(connection)
    table = Table(
        name="loadings",
        caption="Loadings of price files, the last one first",
        columns=(
            Column("loading", "loading", Kind.ID),
            Column("price_book", "price book", Kind.NAME),
            Column("state", "state"),
            Column("in_force_from", "in force from", Kind.TIME),
            Column("in_force_until", "until", Kind.TIME),
            Column("loaded_at", "loaded", Kind.TIME),
            Column("loaded_by", "by", Kind.NAME),
            Column("file", "file", Kind.NAME),
        ),
        rows=[_loading_row(view, timeline, one) for one in reversed(timeline.loadings)],
        empty="No price file was ever loaded: `phoebe serve --prices FILE`",
        note="No time under in force from: from the beginning; under until: further notice, or never.",
    )
    return Page("Prices", (table,), "prices.html", {"outlook": timeline.outlook(view.now)})


def _loading_row(view: View, timeline: Timeline, one: Loading) -> tuple[Cell, ...]:
    return row(
        one.number,
        Cell(one.content_hash, _book_href(one.content_hash), shown=one.content_hash[:SHORT_HASH_CHARS]),
        str(timeline.state(one, view.now)),
        one.in_force_from,
        timeline.until(one) if one in timeline.in_turn else None,
        one.loaded_at,
        one.loaded_by,
        one.source,
    )


def _book_href(content_hash: str, **more: str) -> str:
    return link("/price-book", {"hash": content_hash, **more})


def _line_href(content_hash: str, line: int) -> str:
    return f"{_book_href(content_hash, source='1', line=str(line))}#L{line}"


async def price_book(view: View) -> Page:
    """What does one price file say, and how does it differ from another?"""
    async with reading(view.pool) as connection:
        timeline = await read_timeline(connection)
        wanted = _find(timeline, view, "hash")
        other = _find(timeline, view, "against") if view.parameters.get("against") else None
        file = await load_kept_file(connection, wanted)
        against = None if other is None else await load_kept_file(connection, other)
    part = read_name(view.parameters, "q")
    line = read_number(view.parameters, "line", _LINES_MAX)
    listed = [
        (name, price)
        for name, price in resolve_listed(file.book)
        if part is None or part.lower() in name.lower()
    ]
    tables = [_models(view, file, listed)]
    if against is not None:
        tables.insert(0, _difference(against, file))
    hashes = list(dict.fromkeys(one.content_hash for one in reversed(timeline.loadings)))
    return Page(
        f"Price book {wanted[:SHORT_HASH_CHARS]}",
        tuple(tables),
        "price_book.html",
        {
            "hash": wanted,
            "book": file.book,
            "premium": file.book.premium.describe(),
            "loadings": [one for one in timeline.loadings if one.content_hash == wanted],
            "others": [(one, one[:SHORT_HASH_CHARS]) for one in hashes if one != wanted],
            "against": other,
            "part": part or "",
            "source": _source(file, line or 1) if view.parameters.get("source") else None,
            "source_href": _book_href(wanted, source="1"),
        },
    )


def _find(timeline: Timeline, view: View, name: str) -> str:
    """Find the book of a hash, or of the beginning of one."""
    written = (read_name(view.parameters, name) or "").lower()
    if len(written) < 8:
        raise BadParameterError(name, "must be the hash of a price book, or its first 8 characters at least")
    found = sorted({one.content_hash for one in timeline.loadings if one.content_hash.startswith(written)})
    if len(found) != 1:
        raise NotFoundError(f"no single price book has the hash {written}; the page Prices lists them")
    return found[0]


def _models(view: View, file: LoadedPriceFile, listed: list[tuple[str, Price]]) -> Table:
    rows = []
    for name, price in listed[: view.rows_max]:
        line = file.lines.get(name)
        rows.append(
            row(
                Cell(name),
                str(price.source),
                *_rate_cells(price.billed),
                Cell(line, _line_href(file.book.content_hash, line) if line else None),
            )
        )
    left_out = len(listed) - len(rows)
    return Table(
        name="models",
        caption=f"{counted(len(listed), 'model')}, USD per million tokens and per token, as billed",
        columns=(_MODEL, Column("source", "source"), *_rate_columns(), Column("line", "line", Kind.ID)),
        rows=rows,
        empty="No model of this name.",
        note=f"The download has {left_out} more." if left_out else None,
        is_cut=bool(left_out),
    )


def _rate_columns(prefix: str = "", label: str = "") -> Iterator[Column]:
    for kind in _KINDS:
        yield Column(f"{prefix}{kind}_per_million", f"{label}{kind}, per million", Kind.RATE)
        yield Column(f"{prefix}{kind}_rate", f"{label}{kind}, per token", Kind.RATE)


def _rate_cells(rates: Rates | None) -> Iterator[Cell]:
    for kind in _KINDS:
        rate = None if rates is None else rates.by_component()[kind]
        yield Cell(None if rate is None else per_million(rate))
        yield Cell(rate)


def _difference(before: LoadedPriceFile, after: LoadedPriceFile) -> Table:
    changes = compare_books(before.book, after.book)
    return Table(
        name="difference",
        caption=f"What differs from {before.book.content_hash[:SHORT_HASH_CHARS]}: USD per million tokens",
        columns=(
            _MODEL,
            Column("change", "change"),
            *(Column(f"{kind}_before", f"{kind} before", Kind.RATE) for kind in _KINDS),
            *(Column(f"{kind}_after", f"{kind} after", Kind.RATE) for kind in _KINDS),
        ),
        rows=[_change_row(change) for change in changes],
        empty="No price differs.",
        note="What it would mean for bills: phoebe prices diff",
    )


def _change_row(change: ModelChange) -> tuple[Cell, ...]:
    name = f"fine-tunes of {change.model_id}, not named" if change.any_fine_tune else change.model_id
    sides = [
        None if price is None else per_million(price.billed.by_component()[kind])
        for price in (change.before, change.after)
        for kind in _KINDS
    ]
    return row(name, str(change.change), *sides)


def _source(file: LoadedPriceFile, line: int) -> tuple[list[tuple[int, str]], int]:
    """Give the numbered lines of a file, of a large one those around a line, and how many there are."""
    lines = list(enumerate(file.book.content.decode().removesuffix("\n").split("\n"), 1))
    first = max(line - _LINES_SHOWN // 2, 1)
    return lines[first - 1 : first - 1 + _LINES_SHOWN], len(lines)


async def quote(view: View) -> Page:
    """What would usage cost, and why?"""
    model = read_name(view.parameters, "of")
    base = read_name(view.parameters, "base")
    at = read_moment(view.parameters, "at") or view.now
    counts = {kind: read_number(view.parameters, kind, TOKENS_MAX) for kind in _KINDS}
    found = None
    lines: tuple[PriceLine, ...] = ()
    async with reading(view.pool) as connection:
        history = await load_history(connection, at)
        if model is not None and history:
            found = history.resolve(model, base, at)
        if isinstance(found, Quote) and model is not None:
            file = await load_kept_file(connection, found.book.content_hash)
            lines = lines_of(file, model, found.price)
    tables: tuple[Table, ...] = ()
    shown: dict[str, object] = {"model": model or "", "base": base or "", "at": view.parameters.get("at", "")}
    shown |= {"counts": {kind: "" if one is None else one for kind, one in counts.items()}, "moment": at}
    if isinstance(found, Quote):
        given = (
            None
            if all(one is None for one in counts.values())
            else TokenCounts(**{k: v or 0 for k, v in counts.items()})
        )
        tables = (_quote_table(found, given),)
        shown |= {
            "quote": found,
            "words": source_text(found.price),
            "lines": lines,
            "book_href": _book_href(found.book.content_hash),
        }
    elif found is not None and model is not None:
        shown["reason"] = f"{found.reason}: {found.reason.explain(model)}"
    elif model is not None:
        shown["reason"] = "no price file was ever loaded: phoebe serve --prices FILE"
    return Page("Quote", tables, "quote.html", shown)


def _quote_table(found: Quote, counts: TokenCounts | None) -> Table:
    exact, billed = (rates.by_component() for rates in (found.price.exact, found.price.billed))
    tokens = (
        {"prompt": None, "cached": None, "completion": None}
        if counts is None
        else {
            "prompt": counts.billable_prompt,
            "cached": counts.billable_cached,
            "completion": counts.completion,
        }
    )
    rows = []
    for kind in _KINDS:
        count = tokens[kind]
        amount = None if count is None else cost(_only(kind, count), found.price.billed)
        rows.append(row(kind, per_million(billed[kind]), billed[kind], exact[kind], count, amount))
    return Table(
        name="quote",
        caption="The price",
        columns=(
            Column("kind", "tokens"),
            Column("per_million", "USD per million", Kind.RATE),
            Column("rate", "USD per token, as billed", Kind.RATE),
            Column("exact", "before rounding", Kind.RATE),
            Column("tokens", "how many", Kind.COUNT),
            Column("cost", "USD", Kind.MONEY),
        ),
        rows=rows,
        total=None if counts is None else row("cost", *[None] * 4, cost(counts, found.price.billed)),
        note="Prompt: those that did not come from the cache. Runs rate by the same code.",
    )


def _only(kind: str, count: int) -> TokenCounts:
    match kind:
        case "prompt":
            return TokenCounts(prompt=count)
        case "cached":
            return TokenCounts(prompt=count, cached=count)
    return TokenCounts(completion=count)
