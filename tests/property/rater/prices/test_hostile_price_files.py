"""Price files that were damaged, by accident or with intent, against a second reader that knows only YAML."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rater_service.money import Rates
from rater_service.prices import file_yaml as price_yaml
from rater_service.prices.file import Fault, PriceFileError, parse_price_file
from rater_service.prices.pricebook import (
    DerivedFineTune,
    Identity,
    Markup,
    Multiplier,
    OwnRateFineTune,
    PriceBook,
)

VALID = """\
version: 1
base_models:
  "org/a": { prompt: "0.000000200", cached: "0.000000050", completion: "0.000000600" }
  org/b:
    prompt: '0.000001'
    cached: "0"
    completion: '10'
fine_tune_premium: { policy: multiplier, factor: "1.5" }
fine_tunes:
  "ft:a": { derived_from: "org/a" }
  "ft:own": { rate: { prompt: "1", cached: "2", completion: "3" } }
gpu_floor_rates: { "H100-80GB": "0.5" }
effective_from: "2026-12-01T00:00:00Z"
"""
LINES = VALID.splitlines(keepends=True)
# What a mutation may put in the place of a word or a line.
SNIPPETS = st.sampled_from(
    [
        *("0", "1", '"1"', "'1.5'", "1.5", '"1e-7"', "1_0", "017", "1:30", "no", "~", '""', "'0.0000000001'"),
        *(
            "\uff11",
            '"\uff11"',
            "2026-12-01",
            "&a ",
            "*a",
            "<<: *a",
            "!!float ",
            "!!python/name:os ",
            "? ",
            "- ",
        ),
        *(
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            ": ",
            "#",
            "|\n",
            ">\n",
            "'",
            '"',
            "\\",
            "%",
            "@",
            "\t",
            " ",
            "  ",
            "\n",
        ),
        *(
            "\r\n",
            "\r",
            "\0",
            "\ufeff",
            "\u2028",
            "\x85",
            "\x1b",
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            '"\\ud800"',
        ),
        *('"\\U00110000"', "org/a", "org/b", "ft:a", "prompt", "cached", "version", "identity", "markup"),
    ]
)
WORDS = [
    *(
        "version",
        "1",
        "base_models",
        "org/a",
        "org/b",
        "prompt",
        "cached",
        "completion",
        '"0"',
        "'10'",
        "policy",
    ),
    *("multiplier", "factor", '"1.5"', "fine_tunes", "ft:a", "ft:own", "derived_from", "rate", "H100", "Z"),
]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A valid file after some mutations: of lines, of words, of characters."""
    text = VALID
    for _ in range(draw(st.integers(1, 4))):
        lines = text.splitlines(keepends=True) or [""]
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["drop", "repeat", "move", "reindent", "word", "insert", "cut"])):
            case "drop":
                del lines[at]
            case "repeat":
                lines.insert(draw(st.integers(0, len(lines))), lines[at])
            case "move":
                line = lines.pop(at)
                lines.insert(draw(st.integers(0, len(lines))), line)
            case "reindent":
                lines[at] = draw(st.sampled_from([" ", "  ", "\t", ""])) + lines[at].lstrip()
            case "word":
                lines = [
                    text.replace(draw(st.sampled_from(WORDS)), draw(SNIPPETS | st.sampled_from(WORDS)), 1)
                ]
            case "insert":
                place = draw(st.integers(0, len(text)))
                lines = [text[:place], draw(SNIPPETS), text[place:]]
            case _:
                lines = [text[: draw(st.integers(0, len(text)))]]
        text = "".join(lines)
    return text


def book_or_faults(content: bytes) -> PriceBook | tuple[Fault, ...]:
    try:
        return parse_price_file(content, "file").book
    except PriceFileError as refused:
        return refused.faults


def lines_of(text: str) -> int:
    """Count lines as YAML does, which knows more line breaks than one, and one that has not begun."""
    return 1 + sum(text.count(character) for character in "\n\r\x85\u2028\u2029")


def members(node: yaml.Node) -> list[tuple[str, yaml.Node]]:
    assert isinstance(node, yaml.MappingNode)
    return [(key.value, value) for key, value in node.value]


def second_reading(text: str) -> dict[str, object]:
    """Read a file that was accepted in the plainest way: words as they are written, all of them."""
    root = yaml.compose(text, Loader=price_yaml._LOADER)
    assert root is not None

    def plain(node: yaml.Node) -> object:
        if isinstance(node, yaml.MappingNode):
            named = members(node)
            assert len({name for name, _ in named}) == len(named)
            return {name: plain(value) for name, value in named}
        assert isinstance(node, yaml.ScalarNode)
        return node.value

    read = plain(root)
    assert isinstance(read, dict)
    return read


def as_written(book: PriceBook) -> dict[str, object]:
    """Say what a book holds in the form of the second reading, with numbers for words."""

    def rates(of: Rates) -> dict[str, object]:
        return {name: Fraction(rate) for name, rate in of.by_component().items()}

    def fine_tune(of: DerivedFineTune | OwnRateFineTune) -> dict[str, object]:
        return (
            {"rate": rates(of.rates)}
            if isinstance(of, OwnRateFineTune)
            else {"derived_from": of.derived_from}
        )

    match book.premium:
        case Identity():
            premium: dict[str, object] = {"policy": "identity"}
        case Multiplier(number):
            premium = {"policy": "multiplier", "factor": Fraction(number)}
        case Markup(number):
            premium = {"policy": "markup", "markup": Fraction(number)}
    return {
        "version": "1",
        "base_models": {name: rates(of) for name, of in book.base_models.items()},
        "fine_tune_premium": premium,
        "fine_tunes": {name: fine_tune(of) for name, of in book.fine_tunes.items()},
        "gpu_floor_rates": {name: Fraction(rate) for name, rate in book.gpu_floor_rates.items()},
        "effective_from": book.effective_from,
    }


OPTIONAL: dict[str, object] = {
    "fine_tune_premium": {"policy": "identity"},
    "fine_tunes": {},
    "gpu_floor_rates": {},
    "effective_from": None,
}


def with_numbers(read: object, name: str = "") -> object:
    """Take the words that stand where numbers and times do for what they are."""
    if isinstance(read, dict):
        return {
            key: with_numbers(value, key if name != "gpu_floor_rates" else "rate")
            for key, value in read.items()
        }
    assert isinstance(read, str) or read is None
    if name in ("prompt", "cached", "completion", "factor", "markup", "rate"):
        assert read is not None
        return Fraction(Decimal(read))
    if name == "effective_from" and read is not None:
        return datetime.strptime(read[:13], "%Y-%m-%dT%H").replace(tzinfo=UTC)
    return read


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def loader(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pure Python":
            patch.setattr(price_yaml, "_LOADER", yaml.SafeLoader)
        yield


def test_the_second_reader_agrees_on_a_good_file() -> None:
    book = book_or_faults(VALID.encode())
    assert isinstance(book, PriceBook)
    assert as_written(book) == with_numbers(OPTIONAL | second_reading(VALID))


@settings(max_examples=200)
@given(mutated())
def test_a_damaged_file_is_loaded_whole_as_it_stands_or_refused_with_places_inside_it(text: str) -> None:
    outcome = book_or_faults(text.encode())
    if isinstance(outcome, PriceBook):
        assert as_written(outcome) == with_numbers(OPTIONAL | second_reading(text))
        return
    assert outcome
    for fault in outcome:
        assert fault.line is None or 1 <= fault.line <= lines_of(text)
        assert fault.message
        assert str(fault).isprintable()


encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "utf-7"])


@given(
    st.one_of(st.binary(max_size=300), st.builds(lambda t, e: t.encode(e, "replace"), st.text(), encodings))
)
def test_bytes_of_any_kind_are_refused_with_a_place_inside_them(content: bytes) -> None:
    outcome = book_or_faults(content)
    assert not isinstance(outcome, PriceBook)
    assert outcome
    lines = lines_of(content.decode(errors="replace"))
    assert all(fault.line is None or 1 <= fault.line <= lines for fault in outcome)


GOOD = '{ prompt: "1", cached: "1", completion: "1" }'
# By kind: its section, its block (N: its number), the line of the fault in the block, its model and field.
# None of them has to do with another.
PLANTED: dict[str, tuple[str, str, int, str | None, str | None]] = {
    "unquoted": ("base_models", 'org/N: { prompt: 1, cached: "1", completion: "1" }', 1, "org/N", "prompt"),
    "missing": ("base_models", 'org/N:\n    prompt: "1"\n    cached: "1"', 2, "org/N", "completion"),
    "unknown": ("base_models", f"org/N: {GOOD[:-1]}, image: 1 }}", 1, "org/N", "image"),
    "exponent": ("base_models", f"org/N:\n    {GOOD.replace('"1"', '"1e1"', 1)}", 2, "org/N", "prompt"),
    "fine-tune": ("base_models", f"ft:N: {GOOD}", 1, "ft:N", None),
    "twice": ("base_models", f"org/N: {GOOD}\n\n  org/N: {GOOD}", 3, "org/N", None),
    "anchor": ("base_models", f"org/N: &aN {GOOD}", 1, None, None),
    "neither": ("fine_tunes", "ft:N: {}", 1, "ft:N", None),
    "nowhere": ("fine_tunes", "ft:N:\n    derived_from: org/none", 2, "ft:N", "derived_from"),
    "no fine-tune": ("fine_tunes", "org/N: { derived_from: org/a }", 1, "org/N", None),
    "floor": ("gpu_floor_rates", "GN: 1", 1, None, "gpu_floor_rates.GN"),
    "tag": ("gpu_floor_rates", 'GN: !!str "1"', 1, None, None),
}


@given(st.lists(st.sampled_from(sorted(PLANTED)), min_size=1, max_size=30))
def test_of_several_faults_each_is_named_with_its_line_and_no_other(kinds: list[str]) -> None:
    text = f"version: 1\nbase_models:\n  org/a: {GOOD}\n"
    expected = []
    for section in ("base_models", "fine_tunes", "gpu_floor_rates"):
        chosen = [(str(number), PLANTED[kind]) for number, kind in enumerate(kinds)]
        mine = [(number, planted) for number, planted in chosen if planted[0] == section]
        if mine and section != "base_models":
            text += f"{section}:\n"
        for number, (_, block, line, model, field) in mine:
            named = [part and part.replace("N", number) for part in (model, field)]
            expected.append((text.count("\n") + line, *named))
            text += f"  {block.replace('N', number)}\n"
    outcome = book_or_faults(text.encode())
    assert not isinstance(outcome, PriceBook)
    found = [(fault.line, fault.model, fault.field) for fault in outcome]
    assert sorted(map(str, found)) == sorted(map(str, expected))
