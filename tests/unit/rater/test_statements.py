"""The SQL statements: arguments by name, and columns that can't drift from what goes into them."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp

import rater_service
from rater_service.distributed import FORMS, OTHER_FORMS
from rater_service.prices.pricebook import FINE_TUNE_PREFIX
from rater_service.rollup import KEY, VALUES
from rater_service.statements import as_distributed, bound, by_producer, part, source, statement

RATER = Path(rater_service.__file__).parent
FILES = {f"{path.parents[1].name}/{path.stem}": path for path in sorted(RATER.glob("*/sql/*.sql"))}
# What stands in the place of tables and subqueries that are not always the same.
PARTS = {
    "partition": "billing_event_default",
    "lower_id": "a",
    "upper_id": "b",
    "before": "2026-11-20",
    "rollups": source("bills/rollups"),
    "rated": source("rating/rollups"),
    "differences": source("events/hourly_usage_differences"),
    "taken": source("events/slots_taken"),
    "table": "rated_usage",
    "sorted": "window_start",
    "customer": "auth_id",
    "sums": "sum(cost) AS cost",
    "sum_type": "bigint",
    "numbered": "rating_run",
    "number": "id",
    "sequence": "rating_run_id_seq",
    "categories": source("rating/categories"),
    "columns": "request_id, stored_at",
    "event": "request_id, event_time",
    "run": "id, started_at",
    "names": "auth_id AS customer",
    "groups": "auth_id",
    "days": "rated_day",
    "order": "customer",
    "arrays": ":request_id::uuid[], :stored_at::timestamptz[]",
    "of_events": "SELECT * FROM hourly_usage",
    "of_ids": "SELECT * FROM hourly_usage",
    "sent": part("events/sums_sent", sum_type="bigint"),
    "added": source("events/sums_added"),
    "partitions": source("events/partitions_there"),
    "patterns": source("events/patterns_there"),
}
# Parts that tell of their arguments themselves.
TOLD = (
    "bills/rollups",
    "rating/categories",
    "events/slots_taken",
    "events/sums_sent",
    "events/sums_added",
    "events/partitions_there",
    "events/patterns_there",
)
# What is inserted and has no name, as it stands in none of the arguments.
NAMED = {"TIMESTAMP_TRUNC(CLOCK_TIMESTAMP(), HOUR, 'UTC')": "touched_in"}
_FILLED = re.compile(rf"\{{({'|'.join(PARTS)})\}}")
CALL = re.compile(rf"({'|'.join({name.partition('/')[0] for name in FILES})})/[a-z_]+")
# Their first argument is the name of a statement, or their second one after a connection.
SENDERS = {"bound", "run", "fetch", "fetch_one", "fetch_value", "fetch_of", "over_rollups", "over_categories"}
# Arguments that they add themselves.
ADDED = {
    "over_rollups": {"window_start", "window_end", "auth_id", "resource_id", "model_id", "run"},
    "over_categories": {"fine_tune_prefix"},
}


@pytest.fixture(params=FILES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@cache
def parsed(name: str) -> list[exp.Expression]:
    """The statements of a file, with the names of arguments in the place of their numbers."""
    whole = statement(name, **PARTS)
    # The only words of ours that the parser does not know; what they allow is of no interest here.
    text = whole.text.replace("OVERRIDING SYSTEM VALUE", "")
    statements = sqlglot.parse(text, dialect="postgres")
    found = [one for one in statements if isinstance(one, exp.Expression)]
    assert found
    for one in found:
        for parameter in [*one.find_all(exp.Parameter)]:
            number = parameter.this.to_py()
            parameter.replace(exp.column(whole.parameters[number - 1]))
    return found


def test_arguments_are_numbered_by_name_but_not_in_comments_texts_and_casts() -> None:
    found = statement("bills/list_rated_usage")

    assert ":" not in re.sub(r"--[^\n]*|::", "", found.text)
    assert found.parameters[:2] == ("last_change", "window_start")
    assert f"${found.parameters.index('window_start') + 1}::timestamptz IS NULL" in found.text
    assert '\'YYYY-MM-DD"T"HH24:MI:SS"Z: "\'' in statement("rating/anomalies").text


def test_arguments_are_put_in_the_order_of_their_numbers() -> None:
    text, *arguments = bound("rating/update", rated_at="then", run=7)

    assert text.count("$1") == text.count("$2") == 1
    assert text.index("run = $1") < text.index("rated_at = $2")
    assert arguments == [7, "then"]


@pytest.mark.parametrize("arguments", [{}, {"run": 1}, {"run": 1, "rated_at": 2, "more": 3}])
def test_arguments_that_are_not_those_of_the_statement_are_refused(arguments: dict[str, object]) -> None:
    with pytest.raises(TypeError, match="rated_at"):
        bound("rating/update", **arguments)


def test_the_columns_of_a_rollup_are_filled_in_with_what_stands_before_each() -> None:
    text = source("rating/changes")

    assert f"USING ({', '.join(KEY)})" in text
    assert ", ".join(f"must.{column}" for column in VALUES) in text
    assert ", ".join(f"old_{column}" for column in VALUES) in text


def test_comments_tell_of_the_arguments_but_of_those_that_have_the_name_of_their_column(name: str) -> None:
    comments = "\n".join(re.findall(r"--[^\n]*", FILES[name].read_text("utf-8")))
    told = set(re.findall(r"(?<!:):([a-z][a-z0-9_]*)", comments))
    arguments = set(statement(name, **PARTS).parameters)
    for told_part in TOLD:
        if f"{told_part.rpartition('/')[2]}.sql" in comments and name != told_part:
            arguments -= set(statement(told_part, **PARTS).parameters)
    inserted = {column for insert in inserts(name) for column in columns_of(insert) or []}

    assert told <= arguments
    assert arguments - told <= inserted


def test_what_python_says_of_fine_tunes_no_statement_says_again(name: str) -> None:
    assert f"'{FINE_TUNE_PREFIX}" not in FILES[name].read_text("utf-8")


def plain_of(form: str) -> str:
    """The statement that a distributed database has in another form."""
    package, _, name = form.partition("/")[2].partition("_")
    return f"{package}/{name}"


@pytest.mark.parametrize("form", FORMS)
def test_a_form_for_a_distributed_database_takes_and_gives_the_same_as_the_plain_one(form: str) -> None:
    plain, other = statement(plain_of(form), **PARTS), statement(form, **PARTS)

    assert set(other.parameters) <= set(plain.parameters)
    assert by_producer(plain) == other
    selects = [
        [one.named_selects for one in parsed(name) if isinstance(one, exp.Select)]
        for name in (plain_of(form), form)
    ]
    assert form == "distributed/events_partition_make" or selects[0] == selects[1]


def test_a_distributed_database_is_sent_its_form_with_the_arguments_in_their_order_there() -> None:
    plain = bound("audit/lowest_number", producer_id="spool", moment="then")
    text, *arguments = as_distributed(plain[0], plain[1:])

    assert text == statement("distributed/audit_lowest_number").text
    assert arguments == [
        {"producer_id": "spool", "moment": "then"}[name]
        for name in by_producer(statement("audit/lowest_number")).parameters
    ]
    assert as_distributed("SELECT $1", (1,)) == ("SELECT $1", 1)


def test_what_only_a_distributed_database_needs_stands_in_its_form_alone() -> None:
    plain = statement("events/hourly_usage_add", **PARTS)

    assert "producer" not in re.sub(r"--[^\n]*", "", plain.text)
    assert "*/" not in by_producer(plain).text
    assert {*by_producer(plain).parameters} - {*plain.parameters} == {"producer_id", "request_id"}


def test_forms_that_take_and_give_something_else_are_those_of_other_statements() -> None:
    for form in OTHER_FORMS:
        assert (
            by_producer(statement(plain_of(form), **PARTS)).parameters
            == by_producer(statement(form, **PARTS)).parameters
        )


def inserts(name: str) -> list[exp.Insert]:
    return [insert for one in parsed(name) for insert in one.find_all(exp.Insert)]


def columns_of(insert: exp.Insert) -> list[str] | None:
    """The columns named; None: those of the table."""
    named = insert.this
    return [column.name for column in named.expressions] if isinstance(named, exp.Schema) else None


def values_of(insert: exp.Insert) -> list[str]:
    """The names of what goes into them: of a query's columns, of arguments."""
    query = insert.expression
    if not isinstance(query, exp.Values):
        return list(query.named_selects)
    (row,) = query.expressions
    return [
        value.name if isinstance(value, exp.Column) else NAMED.get(value.sql(), value.sql())
        for value in row.expressions
    ]


def fits(column: str, value: str) -> bool:
    """Tell whether a value's name is that of its column. A change has each column twice: old_ and new_."""
    versions = ("old_", "new_")
    bare_column, bare_value = (re.sub("^(old|new)_", "", name) for name in (column, value))
    both = column.startswith(versions) and value.startswith(versions)
    return column == value if both else bare_column == bare_value


def misfits(columns: list[str], values: list[str]) -> list[tuple[str, str]]:
    return [pair for pair in zip(columns, values, strict=True) if not fits(*pair)]


def test_what_is_inserted_has_the_name_of_its_column(name: str) -> None:
    for insert in inserts(name):
        columns, values = columns_of(insert), values_of(insert)
        if columns is None:
            assert values == ["*"], "only whole rows of the same table fit without a name"
        else:
            assert misfits(columns, values) == []


def test_columns_that_change_places_would_be_found(name: str) -> None:
    for insert in inserts(name):
        columns = columns_of(insert) or []
        for place in range(len(columns) - 1):
            changed = [*columns]
            changed[place : place + 2] = reversed(columns[place : place + 2])
            assert misfits(changed, values_of(insert))


def test_arrays_that_make_rows_have_the_names_of_the_columns_in_their_order(name: str) -> None:
    text = _FILLED.sub(lambda found: PARTS[found[1]], FILES[name].read_text("utf-8"))
    for arrays, columns in re.findall(r"unnest\(([^()]*)\) AS \w+ \(([^()]*)\)", text):
        if ":" in arrays:
            named = zip(re.findall(r"(?<!:):(\w+)::", arrays), re.findall(r"\w+", columns), strict=True)
            assert [(array, column) for array, column in named if array not in (column, f"{column}s")] == []


def test_the_halves_of_a_union_name_the_same_columns_in_the_same_order(name: str) -> None:
    for one in parsed(name):
        for union in one.find_all(exp.Union):
            assert misfits(union.left.named_selects, union.right.named_selects) == []


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Each module of the rater, with the name of its package."""
    for path in sorted(RATER.rglob("*.py")):
        package, *_ = path.relative_to(RATER).parts
        yield package, ast.parse(path.read_text("utf-8"))


def named() -> Iterator[tuple[str, str]]:
    """The statements that modules name, with the package of each."""
    for package, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and CALL.fullmatch(node.value):
                yield package, node.value


def test_every_statement_is_there_is_sent_and_only_by_its_own_package() -> None:
    found = set(named())

    assert {name for _, name in found} == FILES.keys()
    assert [(package, name) for package, name in found if not name.startswith(f"{package}/")] == []


def calls() -> Iterator[tuple[str, ast.Call, str]]:
    """The calls that send a statement named in them: who sends, the call, the statement."""
    for _, module in modules():
        for node in ast.walk(module):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in SENDERS:
                for argument in node.args[:2]:
                    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                        yield node.func.id, node, argument.value


def test_every_call_names_the_arguments_of_its_statement() -> None:
    checked = 0
    for sender, call, name in calls():
        given = {keyword.arg for keyword in call.keywords} - {"timeout"}
        wanted = set(statement(name, **PARTS).parameters) - ADDED.get(sender, set())
        if None in given:
            assert given - {None} <= wanted, name
        else:
            assert given == wanted, name
        checked += 1
    assert checked > 50
