import json

import pytest

from phoebe_addon.answer import usage_ledger
from phoebe_addon.answer.usage_by_model import FurtherUsage
from phoebe_addon.answer.usage_ledger import ResultKey, UsageLedger, result_key
from phoebe_addon.apis.family import Fold, UsagePlace, counts_among, usage_at
from phoebe_addon.apis.usage import Counts, MalformedUsageError, Shares, Usage

COUNTS = Counts(prompt=("p",), cached=("d.cached",), completion=("c",))
PLACE = usage_at(COUNTS, "usage", "late.usage")
AMONG = counts_among(COUNTS, "")


def ledger(
    fold: Fold = Fold.LAST, answers_per_prompt: int | None = 1, place: UsagePlace = PLACE
) -> UsageLedger:
    return UsageLedger(place, fold, answers_per_prompt)


def state(
    book: UsageLedger, document: dict[str, object], index: int = 0, name: str = "", *, final: bool = False
) -> bool | None:
    """Have a document read; None: it has no usage."""
    found = book.find(document)
    return book.state(found, json.dumps(document), ResultKey(name, index), final=final) if found else None


def usage(**counts: object) -> dict[str, object]:
    return {"usage": counts}


@pytest.mark.parametrize(
    ("document_id", "index", "key"),
    [
        ("a", 3, ResultKey("a", 3)),
        ("x" * 1000, 0, ResultKey("x" * 256, 0)),
        (None, None, ResultKey("", 0)),
        (7, "7", ResultKey("", 0)),
        ("a", -1, ResultKey("a", 0)),
        ([], {}, ResultKey("", 0)),
        ("\ud800", 10**400, ResultKey("\ud800", 10**400)),
    ],
    ids=range(7),
)
def test_there_is_a_key_whatever_the_engine_gives(document_id: object, index: object, key: ResultKey) -> None:
    assert result_key(document_id, index) == key


def test_usage_is_found_at_the_first_of_its_places_that_has_an_object() -> None:
    book = ledger()

    assert book.find({"usage": None, "late": {"usage": {"p": 1}}}) == ({"p": 1}, ("late", "usage"))
    assert book.find({"usage": {}, "late": {"usage": {"p": 1}}}) == ({}, ("usage",))
    nothing: tuple[object, ...] = ({}, {"usage": [1]}, {"late": []}, [], None, "usage", 7)
    assert [book.find(document) for document in nothing] == [None] * 7


@pytest.mark.parametrize("fold", Fold)
def test_nothing_stated_is_no_usage(fold: Fold) -> None:
    book = ledger(fold)

    assert state(book, {"x": 1}) is None
    assert (book.usage(), book.raw()) == (None, [])


@pytest.mark.parametrize("fold", Fold)
def test_what_is_stated_once_is_the_usage_whatever_the_fold(fold: Fold) -> None:
    for final in (False, True):
        book = ledger(fold)

        assert state(book, usage(p=3, c=2, d={"cached": 1}), final=final)
        assert book.usage() == Usage(prompt=3, cached=1, completion=2)
        assert book.raw() == ['{"p": 3, "c": 2, "d": {"cached": 1}}']


@pytest.mark.parametrize("fold", [Fold.LAST, Fold.CHOICES])
def test_the_last_word_on_a_result_takes_the_place_of_those_before(fold: Fold) -> None:
    book = ledger(fold)
    state(book, usage(p=3, c=1, d={"cached": 1}))
    state(book, usage(p=3, c=2))

    assert book.usage() == Usage(prompt=3, completion=2)
    assert book.raw() == ['{"p": 3, "c": 2}']


def test_merged_statements_fill_each_other_in_and_the_last_word_holds() -> None:
    book = ledger(Fold.MERGE)
    state(book, usage(p=3, c=1, d={"cached": 1}))
    state(book, usage(c=2))
    state(book, usage(p=0, d=None))

    assert book.usage() == Usage(prompt=0, cached=1, completion=2)
    assert book.raw() == ['{"p": 3, "c": 1, "d": {"cached": 1}}', '{"c": 2}', '{"p": 0, "d": null}']


def test_counts_of_what_came_new_are_added_up_in_a_merge() -> None:
    book = ledger(Fold.MERGE, place=counts_among(COUNTS, "", added=("completion",)))
    statements: list[dict[str, object]] = [
        {"p": 3, "c": 1},
        {"p": 3, "c": 2},
        {"c": None},
        {"p": 4},
        {"c": 4},
    ]
    for counts in statements:
        state(book, counts)

    assert book.usage() == Usage(prompt=4, completion=7)


def test_a_sum_in_a_merge_that_is_no_count_is_malformed() -> None:
    book = ledger(Fold.MERGE, place=counts_among(COUNTS, "", added=("completion",)))
    for count in (2**53, 1, 1):
        state(book, {"c": count})

    with pytest.raises(MalformedUsageError):
        book.usage()


@pytest.mark.parametrize(
    ("answers_per_prompt", "prompt", "cached"), [(1, 10, 6), (2, 6, 4), (3, 7, 5), (4, 4, 3), (None, 4, 3)]
)
def test_results_are_added_up_and_their_prompts_once_each(
    answers_per_prompt: int | None, prompt: int, cached: int
) -> None:
    book = ledger(answers_per_prompt=answers_per_prompt)
    for index, count in enumerate((1, 2, 3, 4)):
        state(book, usage(p=count, c=10, d={"cached": count - 1}), index)

    assert book.usage() == Usage(prompt=prompt, cached=cached, completion=40)


def test_what_one_answer_leaves_unsaid_of_its_prompt_another_may_say() -> None:
    book = ledger(answers_per_prompt=None)
    state(book, usage(p=3, c=1, d={"cached": 2}), 0)
    state(book, usage(c=1), 1)
    state(book, usage(p=3, c=1), 2)

    assert book.usage() == Usage(prompt=3, cached=2, completion=3)


def test_the_prompts_of_several_documents_are_several() -> None:
    book = ledger(answers_per_prompt=2)
    for name in ("a", "b"):
        for index in (0, 1):
            state(book, usage(p=3, c=1), index, name)

    assert book.usage() == Usage(prompt=6, completion=4)


def test_final_statements_count_and_no_others_once_there_is_one() -> None:
    book = ledger(Fold.CHOICES)
    state(book, usage(p=9, c=9), 0)
    state(book, usage(p=9, c=9), 1)
    state(book, usage(p=3, c=2), final=True)
    state(book, usage(p=9, c=10), 0)

    assert book.usage() == Usage(prompt=3, completion=2)
    assert book.raw() == ['{"p": 3, "c": 2}']


@pytest.mark.parametrize("counts", [{}, {"p": 0, "c": 0}, {"p": None, "d": {"cached": 0}}])
def test_zeros_on_chunks_with_choices_are_placeholders(counts: dict[str, object]) -> None:
    book = ledger(Fold.CHOICES)

    assert state(book, {"usage": counts}) is False
    assert book.usage() is None
    state(book, usage(p=3, c=2))
    assert state(book, {"usage": counts}) is False
    assert book.usage() == Usage(prompt=3, completion=2)


def test_a_zero_that_is_final_is_a_zero() -> None:
    book = ledger(Fold.CHOICES)

    assert state(book, usage(p=0, c=0), final=True)
    assert book.usage() == Usage(prompt=0, completion=0)


def test_zeros_that_come_first_say_nothing_and_zeros_that_come_later_do() -> None:
    for fold in (Fold.LAST, Fold.MERGE):
        book = ledger(fold)

        assert state(book, usage(p=0, c=0)) is False
        assert book.usage() is None
        state(book, usage(p=3, c=2))
        assert state(book, usage(c=0))
        assert book.usage() == (Usage(completion=0) if fold is Fold.LAST else Usage(prompt=3, completion=0))


def test_an_object_with_other_purposes_says_nothing_if_it_has_no_counts() -> None:
    for final in (False, True):
        book = ledger(place=AMONG)

        assert state(book, {"text": "a", "p": None}, final=final) is False
        assert book.usage() is None
        state(book, {"text": "a", "c": 2, "x": 1}, final=final)
        assert state(book, {"text": "b"}, final=final) is False
        assert book.usage() == Usage(completion=2)
        assert book.raw() == ['{"c": 2}']


@pytest.mark.parametrize("bad", [{"p": -1}, {"c": 0.5}, {"d": {"cached": "1"}}, {"p": True}])
def test_a_bad_count_makes_the_whole_malformed_until_it_is_replaced(bad: dict[str, object]) -> None:
    book = ledger()

    assert state(book, {"usage": bad})
    with pytest.raises(MalformedUsageError):
        book.usage()
    assert book.raw() == [json.dumps(bad)]
    state(book, usage(p=3))
    assert book.usage() == Usage(prompt=3)


def test_a_bad_count_of_one_result_makes_all_malformed() -> None:
    book = ledger()
    state(book, usage(p=3), 0)
    state(book, usage(p=-1), 1)

    with pytest.raises(MalformedUsageError):
        book.usage()
    assert book.raw() == ['{"p": 3}', '{"p": -1}']


def test_a_bad_count_is_never_merged_away() -> None:
    book = ledger(Fold.MERGE)
    state(book, usage(p=-1))
    state(book, usage(p=3))

    with pytest.raises(MalformedUsageError):
        book.usage()


def test_cached_tokens_beside_the_prompt_are_added_to_it_after_the_fold() -> None:
    beside = Counts(prompt=("p",), cached=("r",), completion=("c",), cached_beside_prompt=True)
    book = ledger(Fold.MERGE, place=usage_at(beside, "usage"))
    state(book, usage(p=103, c=1))
    state(book, usage(p=3, r=100, c=2))

    assert book.usage() == Usage(prompt=103, cached=100, completion=2)


def test_a_whole_prompt_that_is_no_count_is_malformed() -> None:
    beside = Counts(prompt=("p",), cached=("r",), cached_beside_prompt=True)
    book = ledger(place=usage_at(beside, "usage"))
    state(book, usage(p=2**53, r=1))

    with pytest.raises(MalformedUsageError):
        book.usage()


def test_more_results_than_any_request_asks_for_are_not_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_ledger, "RESULTS_MAX", 5)
    book = ledger()
    for index in range(5):
        state(book, usage(p=1), index)
    state(book, usage(p=2), 0)
    assert book.usage() == Usage(prompt=6)

    state(book, usage(p=1), 5)
    with pytest.raises(MalformedUsageError):
        book.usage()


def test_raw_usage_is_kept_of_64_results_and_of_none_if_there_are_more() -> None:
    book = ledger()
    for index in range(64):
        state(book, usage(p=index), index)
        state(book, usage(p=index + 1), index)
    assert book.raw() == [f'{{"p": {index + 1}}}' for index in range(64)]

    state(book, usage(p=1), 64)
    assert book.raw() is None
    state(book, usage(p=1), 64)
    assert book.raw() is None


def kept_length(book: UsageLedger) -> int:
    """Add up the texts it holds."""
    statements = [*book._running.values(), *book._final.values()]
    return sum(len(text.document) for statement in statements for text in statement.texts or ())


@pytest.mark.parametrize("fold", [Fold.CHOICES, Fold.LAST])
def test_the_documents_of_many_results_are_not_kept_however_often_they_are_restated(fold: Fold) -> None:
    book = ledger(fold)
    document: dict[str, object] = {"usage": {"p": 1}, "text": "x" * 16_000}
    for index in range(64):
        state(book, document, index)
    full = kept_length(book)
    for index in [*range(300), *range(300), *range(300)]:
        state(book, document, index)
        assert kept_length(book) <= full

    assert full == 64 * len(json.dumps(document))


def test_the_documents_of_a_merge_are_kept_up_to_a_number() -> None:
    book = ledger(Fold.MERGE)
    document: dict[str, object] = {"usage": {"p": 1}, "text": "x" * 16_000}
    for _ in range(64):
        state(book, document)
    assert kept_length(book) == 64 * len(json.dumps(document))

    state(book, document)
    assert kept_length(book) == 0


def test_of_a_document_longer_than_raw_usage_may_be_only_the_usage_is_kept() -> None:
    book = ledger()
    state(book, {"usage": {"p": 1}, "text": "x" * 20_000})

    assert book.raw() == ['{"p": 1}']
    (statement,) = book._running.values()
    assert [len(text.document) for text in statement.texts or ()] == [8]


def test_of_raw_usage_that_is_too_long_the_counts_are_kept() -> None:
    for fold in Fold:
        book = ledger(fold)
        state(book, usage(p=1, x="x" * 20_000), 0)
        state(book, usage(p=2), 1)

        assert book.raw() == ['{"p": 1}', '{"p": 2}']


def test_raw_usage_that_is_too_long_itself_is_not_kept_and_that_of_others_neither() -> None:
    for fold in Fold:
        book = ledger(fold)
        state(book, usage(p=1, d={"x": "x" * 20_000}), 0)
        state(book, usage(p=1), 1)

        assert book.raw() is None


def test_in_a_merge_all_of_the_raw_usage_is_kept_or_none() -> None:
    book = ledger(Fold.MERGE)
    state(book, usage(p=1))
    state(book, usage(c=1, d={"x": "x" * 20_000}))
    state(book, usage(c=2))

    assert book.usage() == Usage(prompt=1, completion=2)
    assert book.raw() is None


def test_details_that_are_no_object_are_named_and_the_others_count() -> None:
    book = ledger()
    state(book, {"usage": {"p": 3, "d": ["1"]}})

    assert book.usage() == Usage(prompt=3)
    assert book.bad_details == {"cached"}


SHARED = usage_at(
    Counts(
        prompt=("p",),
        completion=("c",),
        shares=Shares("list", "model", "type", frozenset({"own"}), frozenset({"own"})),
    ),
    "usage",
)
ADVICE = {"type": "advice", "model": "dear", "p": 5, "c": 6}


def own(prompt: object, completion: object) -> dict[str, object]:
    return {"type": "own", "p": prompt, "c": completion}


def test_a_list_of_shares_says_what_each_model_used() -> None:
    book = ledger(Fold.MERGE, place=SHARED)
    state(book, usage(p=1, c=9, list=[own(1, 2), ADVICE, own(3, 7)]))

    assert book.usage("m") == Usage(prompt=4, completion=9)
    assert book.further("m") == [
        FurtherUsage("dear", Usage(prompt=5, completion=6), f"[{json.dumps(ADVICE)}]")
    ]
    assert book.own_name("m") == "m"


def test_a_later_list_takes_the_place_of_an_earlier_one_and_later_counts_hold() -> None:
    book = ledger(Fold.MERGE, place=SHARED)
    state(book, usage(p=1, c=1, list=[own(1, 1), ADVICE]))
    state(book, usage(c=2, list=[own(2, 2), ADVICE, ADVICE]))
    assert book.usage("m") == Usage(prompt=2, completion=2)
    assert [each.usage for each in book.further("m")] == [Usage(prompt=10, completion=12)]

    state(book, usage(c=3))
    assert book.usage("m") == Usage(prompt=2, completion=3)
    assert [each.usage for each in book.further("m")] == [Usage(prompt=10, completion=12)]

    state(book, usage(c=4, list=[own(9, 4)]))
    assert book.usage("m") == Usage(prompt=9, completion=4)
    assert book.further("m") == []


def test_a_bad_count_spoils_the_usage_of_its_model_alone() -> None:
    book = ledger(Fold.MERGE, place=SHARED)
    state(book, usage(p=1, c=1, list=[own(1, -1), ADVICE]))
    with pytest.raises(MalformedUsageError):
        book.usage("m")
    assert [each.usage for each in book.further("m")] == [Usage(prompt=5, completion=6)]

    book = ledger(Fold.MERGE, place=SHARED)
    state(book, usage(p=-1, list=[own(1, 2), ADVICE]))
    with pytest.raises(MalformedUsageError):
        book.usage("m")
    assert [each.model for each in book.further("m")] == ["dear"]


def test_a_list_alone_states_usage() -> None:
    book = ledger(Fold.MERGE, place=SHARED)

    assert state(book, usage(list=[ADVICE])) is True
    assert book.usage("m") == Usage()
    assert ledger(Fold.MERGE, place=SHARED).own_name("m") is None


def test_shares_whose_text_is_too_long_are_kept_without_it() -> None:
    book = ledger(Fold.MERGE, place=SHARED)
    state(book, usage(list=[{**ADVICE, "pad": "x" * 20_000}]))

    assert [(each.usage, each.raw) for each in book.further("m")] == [(Usage(prompt=5, completion=6), None)]
