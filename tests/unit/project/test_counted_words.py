"""No line that a user reads says `1 events`: what is counted is written by `counted`, or behind a colon."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOPS = ("rater_service", "addon", "runtime", "client", "demo", "chaos", "conformance")
MODULES = [path for top in TOPS for path in (ROOT / top).rglob("*.py")]
# Pages of the console, what statements put into words, and what alerts say.
TEXTS = [
    *(ROOT / "rater_service").rglob("*.html"),
    *(ROOT / "rater_service").rglob("*.sql"),
    ROOT / "deploy" / "prometheus" / "rules.yaml",
]

# Those that are verbs more often are left out: `{engine} answers`.
NOUNS = (
    "addons batches books bytes chunks clients customers days events exchanges faults files hours keys "
    "loadings migrations models names numbers others partitions parts patterns producers requests rollups "
    "rows runs sessions spools sums tokens warnings workers"
)
# One word may come between: `2 further models`. Of several kinds of tokens only the last is followed by the
# word: `5 prompt, 1 completion tokens`.
BETWEEN = r"(?!(?:and|has|in|is|of|refuses|still|stores|takes|under|with)\b)[a-z]+ "
NOUN = rf" (?:(?:{BETWEEN})?(?:{NOUNS.replace('tokens ', '').replace(' ', '|')})|tokens)\b(?!=)"
BEHIND = re.compile(NOUN)
IN_TEXT = re.compile(rf"(?:%[\w.,+-]*[a-z]|\{{[^{{}}]*\}}){NOUN}")
# The same as it stands in a file, where a string may end and the next begin between the two. Only files that
# have it are parsed, which takes a tenth of the time.
IN_SOURCE = re.compile(rf"(?:%[\w.,+-]*[a-z]|\}})[\"'\sf]*?{NOUN}")

# A limit is more than one. It is a constant, or an argument that is named so.
LIMIT = re.compile(r"_max\b", re.IGNORECASE)

ALLOWED = {
    # Verbs: what stands before them is no count.
    "rater_service/cli/prices/served_models.py": {"{url} names"},
    "rater_service/cli/reading.py": {"{READ_DATABASE_URL} names"},
    "rater_service/database/database.py": {"{variable} names"},
    "rater_service/database/freshness.py": {"{READ_DATABASE_URL} names"},
    "rater_service/prices/guards.py": {"{where} names"},
    # Two at least: one is told in other words, or is nothing to be told.
    "addon/phoebe_addon/spool/safety.py": {"{status.st_nlink} names"},
    "chaos/verdict.py": {"{count} events"},
    "rater_service/cli/books.py": {"{len(found)} price books"},
    "rater_service/console/pages/usage.py": {"{len(added.rows) + added.left_out} rows"},
    "rater_service/rating/run.py": {"{self.hours} hours"},
    "rater_service/rating/sql/anomalies.sql": {"%s names"},
    # The last of several counts: `9 (0 cached) + 1 tokens`.
    "chaos/script.py": {"{self.completion} tokens"},
    # A limit: --model-names-max.
    "rater_service/events/model_names.py": {"%d models"},
    "rater_service/log_events.py": {"%d models"},
}
"""By the file, what may stand as it is."""


def counts(module: ast.AST) -> Iterator[str]:
    """Find what stands before a plural in f-strings, and in texts that % or format() fills in."""
    no_texts = {id(each.value) for each in ast.walk(module) if isinstance(each, ast.Expr)}  # docstrings
    for node in ast.walk(module):
        if isinstance(node, ast.JoinedStr):
            no_texts |= {id(part) for part in node.values}
            yield from _counts_of(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in no_texts:
            yield from (found[0] for found in IN_TEXT.finditer(node.value))


def _counts_of(formatted: ast.JoinedStr) -> Iterator[str]:
    for placed, behind in zip(formatted.values, formatted.values[1:], strict=False):
        if isinstance(placed, ast.FormattedValue) and isinstance(behind, ast.Constant):
            shown = ast.unparse(placed.value)
            found = BEHIND.match(str(behind.value))
            if found and not LIMIT.search(shown):
                yield f"{{{shown}}}{found[0]}"


def test_no_count_stands_before_a_plural() -> None:
    found = {
        path.relative_to(ROOT).as_posix(): texts
        for path in (*MODULES, *TEXTS)
        if (texts := set(_counts_in(path)))
    }

    assert found == ALLOWED, "use phoebe_runtime.counts.counted, or write `events: {n}`"


def _counts_in(path: Path) -> Iterator[str]:
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from (found[0] for found in IN_TEXT.finditer(text))
    elif IN_SOURCE.search(text):
        yield from counts(ast.parse(text))


@pytest.mark.parametrize(
    "line",
    [
        'write(f"{len(found)} producers")',
        'failed(f"{left} more models have no price")',
        'write(f"about {lock.rows:,} rows")',
        "write(f\"dropped {events} events of {counted(n, 'partition')}\")",
        'logger.error("kept %d events aside", n)',
        '"the next {amount} batches".format(amount=n)',
    ],
)
def test_a_plural_behind_a_count_is_found(line: str) -> None:
    assert len(list(counts(ast.parse(line)))) == 1


@pytest.mark.parametrize(
    "line",
    [
        'write(counted(len(found), "producer"))',
        "write(f\"kept aside: {counted(n, 'event')}, the oldest since {moment}\")",
        'write(f"hours that differ so far: {n}")',
        'fault(f"must be at most {WINDOW_MAX.days} days")',
        "write(f\"{counted(n, 'event')}, {prompt} prompt, {completion} completion tokens\")",
        'write(f"the rater at {address} stores events")',
        'print(f"exchanges={n} rows={m} events=0")',
    ],
)
def test_what_fits_every_count_may_stand(line: str) -> None:
    assert list(counts(ast.parse(line))) == []
