import pytest

from phoebe_addon.answer.usage_by_model import (
    FURTHER_MODELS_MAX,
    Division,
    divide,
    further_usage,
    is_nothing,
)
from phoebe_addon.apis.usage import COUNT_MAX, SHARES_MAX, Counts, MalformedUsageError, Share, Shares, Usage

COUNTS = Counts(
    prompt=("p",),
    cached=("r",),
    completion=("c",),
    cached_beside_prompt=True,
    zero_prompt_is_unsaid=True,
    shares=Shares("list", "model", "type", frozenset({"own", "other work"}), frozenset({"own", "served"})),
)


def shares_of(*elements: object) -> tuple[Share, ...]:
    shares = COUNTS.read_shares({"list": list(elements)})
    assert shares is not None
    return shares


def numbers(division: Division) -> tuple[list[int], dict[str | None, list[int]]]:
    own = [share.number for share in division.own]
    return own, {name: [share.number for share in shares] for name, shares in division.others.items()}


def element(kind: str | None = None, model: str | None = None) -> dict[str, object]:
    return {"p": 1, "c": 2, "type": kind, "model": model}


@pytest.mark.parametrize(
    ("elements", "model", "own", "others"),
    [
        ([element("own")], "m", [0], {}),
        ([element()], "m", [0], {}),
        ([element("other work"), element("own")], "m", [0, 1], {}),
        ([element("own", "m"), element("advice", "dear")], "m", [0], {"dear": [1]}),
        ([element("advice", "dear"), element("own"), element("advice", "dear")], "m", [1], {"dear": [0, 2]}),
        ([element("own", "first"), element("served", "m")], "m", [1], {"first": [0]}),
        # The answer says that m made it, so what was served by another name is that one's.
        ([element("own"), element("served", "n")], "m", [0], {"n": [1]}),
        # Nothing of the list is m's: the last that made the answer is another spelling of it.
        ([element("own", "first"), element("served", "M")], "m", [1], {"first": [0]}),
        ([element("own", "M"), element("advice", "dear"), element("own", "M")], "m", [0, 2], {"dear": [1]}),
        ([element("own", "first"), element("served")], "m", [1], {"first": [0]}),
        # Without a sampling of the answer's own all that is known of it are the totals.
        ([element("advice", "dear")], "m", [], {"dear": [0]}),
        ([element("other work", None), element("served", "M")], "m", [0, 1], {}),
        # Nobody says whose these are.
        ([element("own"), element("advice"), 7, None], "m", [0], {None: [1, 2, 3]}),
        ([element("own", "m"), element("served")], "m", [0], {None: [1]}),
        # An answer that names nobody.
        ([element("own"), element("advice", "dear")], None, [0], {"dear": [1]}),
        ([element("own", "a"), element("own", "b")], None, [1], {"a": [0]}),
    ],
)
def test_every_share_is_its_models(
    elements: list[object], model: str | None, own: list[int], others: dict[str | None, list[int]]
) -> None:
    assert numbers(divide(shares_of(*elements), model)) == (own, others)


def test_what_is_no_name_and_no_kind_names_nobody() -> None:
    odd = {"p": 1, "type": ["own"], "model": 7}
    (share,) = shares_of(odd)

    assert (share.model, share.is_unnamed, share.is_sampled) == (None, False, False)
    assert shares_of({"p": 1, "model": ""})[0].model is None


def test_models_beyond_those_that_any_answer_uses_are_taken_together() -> None:
    elements = [element("advice", f"n{number}") for number in range(FURTHER_MODELS_MAX + 3)]
    division = divide(shares_of(*elements, element("own")), "m")

    assert len(division.others) == FURTHER_MODELS_MAX + 1
    assert len(division.others[None]) == 3


def test_what_a_further_model_used_is_added_up_with_the_cache_in_its_prompt() -> None:
    used = {"p": 2, "r": 10, "c": 3}

    assert further_usage(shares_of(used, used), COUNTS) == Usage(prompt=24, cached=20, completion=6)
    assert further_usage(shares_of({"p": 0, "c": 3}), COUNTS) == Usage(completion=3)


@pytest.mark.parametrize("bad", [{"p": -1}, {"p": COUNT_MAX, "r": 1}, 7, {}, {"r": 5}])
def test_what_can_not_be_read_or_has_nothing_to_bill_on_is_no_usage(bad: object) -> None:
    assert further_usage(shares_of(bad), COUNTS) is None
    if bad and bad != {"r": 5}:
        assert further_usage(shares_of({"p": 1}, bad), COUNTS) is None


def test_nothing_is_what_says_that_nothing_was_used() -> None:
    assert is_nothing(Usage(prompt=0, completion=0))
    assert is_nothing(Usage())
    assert not is_nothing(Usage(completion=1))
    assert not is_nothing(None)


@pytest.mark.parametrize("stated", [None, []])
def test_a_list_that_is_not_there_or_empty_is_none(stated: object) -> None:
    assert COUNTS.read_shares({"list": stated}) is None
    assert Counts(prompt=("p",)).read_shares({"list": [{"p": 1}]}) is None


def test_a_list_that_is_none_is_a_bad_detail() -> None:
    bad: set[str] = set()

    assert COUNTS.read_shares({"list": {"p": 1}}, bad) is None
    assert bad == {"list"}
    assert COUNTS.read_shares({"list": 7}) is None


def test_of_a_list_that_is_too_long_the_rest_is_nobodys_and_can_not_be_read() -> None:
    shares = shares_of(*[element("own")] * (SHARES_MAX + 5))

    assert len(shares) == SHARES_MAX + 1
    assert (shares[-1].usage, shares[-1].model, shares[-1].is_unnamed) == (None, None, False)


def test_shares_that_can_not_all_be_read_have_no_total() -> None:
    assert COUNTS.total(shares_of({"p": 1}, {"c": 2})) == Usage(prompt=1, completion=2)
    with pytest.raises(MalformedUsageError):
        COUNTS.total(shares_of({"p": 1}, {"c": -2}))


def test_where_shares_stand_is_read_with_their_models_and_kinds() -> None:
    assert COUNTS.names() == ("p", "r", "c", "list")
    assert ("list", -1, "model") in COUNTS.places()
    assert ("list", -1, "type") in COUNTS.places()
    assert COUNTS.shares_place == "list"
    assert COUNTS.with_cached_in_prompt().shares_place == "list"
    assert Counts(prompt=("p",)).shares_place is None
