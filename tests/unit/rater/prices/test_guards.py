"""Prices that are probably mistakes: per million taken for per token, slips of the decimal point."""

import pytest

from rater_service.prices.file import PriceFileError, parse_price_file
from rater_service.prices.guards import Judgement, judge
from rater_service.prices.pricebook import Allowed, PriceBook

GOOD = {"a": "0.000000200", "b": "0.000001000"}


def file(
    bases: dict[str, str], premium: str = "", fine_tunes: dict[str, str] | None = None, allow: str = ""
) -> str:
    lines = ["version: 1", "base_models:"]
    lines += [
        f'  {name}: {{ prompt: "{rate}", cached: "0", completion: "{rate}" }}' for name, rate in bases.items()
    ]
    lines += ["fine_tunes:" * bool(fine_tunes)]
    lines += [f"  {name}: {{ {what} }}" for name, what in (fine_tunes or {}).items()]
    lines += [f"fine_tune_premium: {premium}" if premium else "", f"allow: {allow}" if allow else ""]
    return "\n".join([*lines, ""])


def book(bases: dict[str, str], **more: object) -> PriceBook:
    return parse_price_file(file(bases, **more).encode(), "f").book  # type: ignore[arg-type] # see `file`


def found(judged: Judgement) -> list[tuple[str | None, str | None]]:
    return [(fault.model, fault.field) for fault in judged.faults]


def own(rate: str) -> str:
    return f'rate: {{ prompt: "{rate}", cached: "0", completion: "0" }}'


@pytest.mark.parametrize(
    ("rate", "is_refused"), [("0.001", False), ("0.0010000004", False), ("0.001001", True)]
)
def test_a_rate_of_more_than_a_tenth_of_a_cent_is_refused_as_it_is_billed(
    rate: str, is_refused: bool
) -> None:
    assert found(judge(book({"a": rate}), None)) == [("a", "prompt"), ("a", "completion")] * is_refused


def test_a_price_per_million_is_told_from_one_per_token_with_its_line_and_what_to_do() -> None:
    loaded = parse_price_file(file({"b": "0.000001", "a": "0.2"}).encode(), "f")

    fault, _ = judge(loaded.book, None, lines=loaded.lines).faults

    assert (fault.line, fault.model, fault.field) == (4, "a", "prompt")
    assert fault.message == (
        "0.200000000 USD per token is 200000.000 USD per million, above 1000: if it was meant per million "
        'tokens, divide it by 1,000,000; else allow it by name (--allow-rate "a", or allow: rates in the '
        "file)"
    )


@pytest.mark.parametrize(
    ("old", "new", "is_refused"),
    [
        ("0.000000200", "0.000002000", False),
        ("0.000000200", "0.000002001", True),
        ("0.000002000", "0.000000200", False),
        ("0.000002001", "0.000000200", True),
        ("0", "0.000000001", True),
        ("0.000000001", "0", True),
        ("0", "0", False),
    ],
)
def test_more_than_tenfold_up_or_down_is_refused_and_so_is_from_or_to_free(
    old: str, new: str, is_refused: bool
) -> None:
    judged = judge(book({"a": new}), book({"a": old}))

    assert found(judged) == [("a", "prompt"), ("a", "completion")] * is_refused


def test_a_change_says_both_prices_per_token_and_per_million() -> None:
    (fault, _) = judge(book({"a": "0.000004000"}), book({"a": "0.000000200"})).faults

    assert fault.message == (
        "0.000000200 -> 0.000004000 USD per token (0.200 -> 4.000 per million) is more than tenfold against "
        'what is in force: if it is meant, allow it by name (--allow-change "a", or allow: changes in the '
        "file)"
    )
    for old, new, said in (
        ("0.000004", "0.0000002", "less than a tenth"),
        ("0", "0.0000002", "from free to priced"),
        ("0.0000002", "0", "from priced to free"),
    ):
        assert said in judge(book({"a": new}), book({"a": old})).faults[0].message


def test_what_is_new_or_gone_is_no_change() -> None:
    assert judge(book({"a": "0.0009"}), book({"b": "0.000000001"})) == Judgement((), ())


def test_a_premium_that_makes_prices_too_high_is_refused_for_what_derives_only() -> None:
    dear = book(
        {"a": "0.0005"},
        premium='{ policy: multiplier, factor: "2.5" }',
        fine_tunes={'"ft:x"': "derived_from: a", '"ft:own"': own("0.0005")},
    )

    assert {fault.model for fault in judge(dear, None).faults} == {"ft:x", "other fine-tunes of a"}
    assert judge(dear, None, Allowed(rates=frozenset("a"))).faults == ()
    only_listed = judge(dear, None, Allowed(rates=frozenset({"ft:x"})))
    assert {fault.model for fault in only_listed.faults} == {"other fine-tunes of a"}


def test_a_changed_premium_is_judged_by_what_it_makes_of_prices() -> None:
    before = book(GOOD, fine_tunes={'"ft:x"': "derived_from: a"})
    after = book(
        GOOD,
        fine_tunes={'"ft:x"': "derived_from: a"},
        premium='{ policy: markup, markup: "0.000003000" }',
    )

    refused = {fault.model for fault in judge(after, before).faults}
    assert refused == {"ft:x", "other fine-tunes of a", "other fine-tunes of b"}
    assert {fault.model for fault in judge(after, before, Allowed(changes=frozenset("a"))).faults} == {
        "other fine-tunes of b"
    }


def test_a_base_that_changes_is_named_once_however_many_derive_from_it() -> None:
    tunes = {f'"ft:{n}"': "derived_from: a" for n in range(9)}
    judged = judge(book({"a": "0.000004"}, fine_tunes=tunes), book({"a": "0.0000002"}, fine_tunes=tunes))

    assert found(judged) == [("a", "prompt"), ("a", "completion")]


def test_an_own_rate_of_a_fine_tune_is_judged_by_its_own_name() -> None:
    before, after = (book(GOOD, fine_tunes={'"ft:x"': own(rate)}) for rate in ("0.0000002", "0.000004"))

    assert found(judge(after, before)) == [("ft:x", "prompt")]
    assert judge(after, before, Allowed(changes=frozenset({"a"}))).faults
    assert judge(after, before, Allowed(changes=frozenset({"ft:x"}))) == Judgement((), ())


def test_the_file_itself_can_allow_what_is_meant() -> None:
    high = {"a": "0.2", "b": "0.000001"}

    assert judge(book(high, allow="{ rates: [a], changes: [a] }"), book(GOOD)) == Judgement((), ())
    assert found(judge(book(high, allow="{ rates: [a] }"), book(GOOD)))[0] == ("a", "prompt")


def test_what_is_allowed_without_need_is_warned_of() -> None:
    judged = judge(book(GOOD, allow="{ rates: [a], changes: [b] }"), book(GOOD), Allowed(frozenset({"c"})))

    assert judged.faults == ()
    assert [str(warning).partition(",")[0] for warning in judged.warnings] == [
        'allow.rates of the file names "a"',
        '--allow-rate names "c"',
        'allow.changes of the file names "b"',
    ]
    assert len(judge(book(GOOD, allow="{ changes: [b] }"), None).warnings) == 0


@pytest.mark.parametrize(
    ("allow", "line", "message"),
    [
        ("[a]", 7, "must be a mapping of keys to values"),
        ("{ rates: a }", 7, "must be a list of names of models"),
        ("{ rates: [a, a] }", 7, 'names "a" twice'),
        ("{ changes: [c] }", 7, '"c" is no model that this file names'),
        ("{ changes: [[a]] }", 7, "must be a single value, not a mapping or a list"),
        ("{ rate: [a] }", 7, "unknown key; known here: rates, changes"),
        ("{ rates: [*a] }", 7, 'an alias ("a"); write the value out'),
    ],
)
def test_what_a_file_allows_is_checked(allow: str, line: int, message: str) -> None:
    with pytest.raises(PriceFileError) as refused:
        parse_price_file(file(GOOD, allow=allow).encode(), "f")

    assert (line, message) in [(fault.line, fault.message) for fault in refused.value.faults]


def test_what_a_file_allows_is_part_of_its_book() -> None:
    parsed = parse_price_file(file(GOOD, allow='{ rates: ["a"], changes: [b, a] }').encode(), "f").book

    assert parsed.allowed == Allowed(frozenset({"a"}), frozenset({"a", "b"}))
    assert book(GOOD, allow="{}").allowed == Allowed()
