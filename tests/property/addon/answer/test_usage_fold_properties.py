"""The usages of many documents folded into one, against a plain reading of the rules."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import example, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer.reader import AnswerReader, RequestFacts
from phoebe_addon.apis.engines import UNDECLARED, Engine
from phoebe_addon.apis.usage import COUNT_MAX, Usage
from tests.harness.known import engine, family

LLAMA_CPP = engine("llama.cpp")

type Counts = dict[str, int | None]

MALFORMED = "malformed"
PROMPT_SIDE = ("prompt", "cached")
NAMES = (*PROMPT_SIDE, "completion", "reasoning")

numbers = st.one_of(
    st.none(), st.just(0), st.integers(0, 9), st.integers(0, 9), st.sampled_from([COUNT_MAX, COUNT_MAX - 1])
)
# A count of -1 is none.
counts = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, numbers)).flatmap(
    lambda drawn: st.sampled_from([drawn] * 9 + [{**drawn, "completion": -1}])
)


@dataclass(frozen=True)
class Statement:
    """What one document states. index: of its choice or result; None: it has no choices."""

    id: str
    index: int | None
    counts: Counts


statements = st.lists(
    st.builds(Statement, st.sampled_from("ab"), st.sampled_from([None, 0, 0, 1, 2, 3]), counts), max_size=8
)
request_facts = st.tuples(st.integers(1, 3), st.integers(1, 3))


def is_bad(counts: Counts) -> bool:
    return -1 in counts.values()


def is_placeholder(counts: Counts) -> bool:
    return not any(counts.values())


def total(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def last(values: Iterable[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return known[-1] if known else None


def added_up(
    results: dict[tuple[str, int], Counts], prompt_of: dict[tuple[str, int], object]
) -> Usage | str | None:
    """Add completion tokens over results and prompt tokens over prompts."""
    if any(map(is_bad, results.values())):
        return MALFORMED
    sums: Counts = {}
    for name in NAMES:
        said = {key: counts.get(name) for key, counts in results.items()}
        if name in PROMPT_SIDE:
            prompts = dict.fromkeys(prompt_of[key] for key in results)
            said_of = {
                prompt: last(value for key, value in said.items() if prompt_of[key] == prompt)
                for prompt in prompts
            }
            sums[name] = total(said_of.values())
        else:
            sums[name] = total(said.values())
    if any(value is not None and value > COUNT_MAX for value in sums.values()):
        return MALFORMED
    usage = Usage(**sums)
    return usage if usage.is_billable() else None


def found(reader: AnswerReader) -> Usage | str | None:
    answer = reader.answer()
    assert not (answer.malformed and answer.usage)
    return MALFORMED if answer.malformed else answer.usage


def openai(counts: Counts) -> dict[str, object]:
    return {
        "prompt_tokens": counts.get("prompt"),
        "prompt_tokens_details": {"cached_tokens": counts.get("cached")},
        "completion_tokens": counts.get("completion"),
        "completion_tokens_details": {"reasoning_tokens": counts.get("reasoning")},
    }


@settings(max_examples=300)
@given(statements, request_facts, st.sampled_from([UNDECLARED, LLAMA_CPP]))
@example([Statement("a", None, {"prompt": 3}), Statement("b", None, {"prompt": 3})], (2, 1), UNDECLARED)
@example(
    [Statement("a", 0, {"prompt": 3, "cached": 1}), Statement("a", 1, {"completion": 3})], (1, 2), UNDECLARED
)
@example([Statement("a", 0, {"prompt": COUNT_MAX}), Statement("b", 0, {"prompt": 1})], (2, 1), UNDECLARED)
def test_chunks_with_choices_count_until_one_without_comes(
    stated: list[Statement], how: tuple[int, int], server: Engine
) -> None:
    prompts, samples = how
    final: dict[tuple[str, int], Counts] = {}
    running: dict[tuple[str, int], Counts] = {}
    reader = AnswerReader((family("openai.chat").answer,), RequestFacts(prompts, samples, server))
    finals = 0
    for each in stated:
        document: dict[str, object] = {"id": each.id, "usage": openai(each.counts)}
        if each.index is None:
            final[each.id, finals if server.usage_per_result else 0] = each.counts
            finals += 1
        else:
            document["choices"] = [{"index": each.index}]
            if not is_placeholder(each.counts):
                running[each.id if prompts > 1 else "", each.index] = each.counts
        reader.read_chunk(json.dumps(document).encode())

    known = final or running
    prompt_of: dict[tuple[str, int], object] = {
        key: (key[0], key[1] // samples) if prompts > 1 else "the only one" for key in known
    }
    assert found(reader) == (added_up(known, prompt_of) if known else None)


def sglang(counts: Counts) -> dict[str, object]:
    return {
        "prompt_tokens": counts.get("prompt"),
        "cached_tokens": counts.get("cached"),
        "completion_tokens": counts.get("completion"),
        "reasoning_tokens": counts.get("reasoning"),
        "id": "x",
    }


def says_nothing(counts: Counts) -> bool:
    return set(counts.values()) <= {None}


@settings(max_examples=200)
@given(statements, request_facts)
def test_of_each_result_the_last_word_counts(stated: list[Statement], how: tuple[int, int]) -> None:
    prompts, samples = how
    known: dict[tuple[str, int], Counts] = {}
    reader = AnswerReader((family("sglang.generate").answer,), RequestFacts(prompts, samples))
    for each in stated:
        key = "", each.index or 0
        if not says_nothing(each.counts) and (key in known or not is_placeholder(each.counts)):
            known[key] = each.counts
        document = {"index": each.index, "meta_info": sglang(each.counts)}
        reader.read_chunk(json.dumps(document).encode())

    prompt_of: dict[tuple[str, int], object] = {key: key[1] // samples for key in known}
    assert found(reader) == (added_up(known, prompt_of) if known else None)


@settings(max_examples=200)
@given(st.lists(counts, max_size=6), request_facts)
def test_the_results_of_an_array_are_all_there_is(stated: list[Counts], how: tuple[int, int]) -> None:
    prompts, samples = how
    reader = AnswerReader((family("sglang.generate").answer,), RequestFacts(prompts, samples))
    reader.read_document(json.dumps([{"meta_info": sglang(each)} for each in stated]).encode())

    known = {("", index): each for index, each in enumerate(stated) if not says_nothing(each)}
    prompt_of: dict[tuple[str, int], object] = {key: key[1] // samples for key in known}
    assert found(reader) == (added_up(known, prompt_of) if known else None)


@settings(max_examples=200)
@given(statements)
def test_for_each_count_of_a_merge_the_last_word_holds(stated: list[Statement]) -> None:
    reader = AnswerReader((family("anthropic.messages").answer,), RequestFacts())
    merged: Counts = {}
    bad = begun = False
    for each in stated:
        block = {
            "input_tokens": each.counts.get("prompt"),
            "cache_read_input_tokens": each.counts.get("cached"),
            "output_tokens": each.counts.get("completion"),
            "output_tokens_details": {"thinking_tokens": each.counts.get("reasoning")},
        }
        place = {"message": {"usage": block}} if each.id == "a" else {"usage": block}
        reader.read_chunk(json.dumps({"index": each.index, **place}).encode())
        bad = bad or is_bad(each.counts)
        if begun or not is_placeholder(each.counts):
            begun = True
            unsaid = {"prompt"} if not each.counts.get("prompt") and not each.counts.get("cached") else set()
            merged |= {
                name: value for name, value in each.counts.items() if value is not None and name not in unsaid
            }

    prompt = merged.get("prompt")
    if prompt is not None:
        whole = prompt + (merged.get("cached") or 0)
        merged["prompt"] = whole
        bad = bad or whole > COUNT_MAX
    usage = Usage(**merged) if not bad else Usage()
    expected = MALFORMED if bad else usage if usage.is_billable() else None
    assert found(reader) == expected


@settings(max_examples=200)
@given(st.lists(st.tuples(numbers, numbers), max_size=8))
def test_counts_of_what_came_new_are_added_up(stated: list[tuple[int | None, int | None]]) -> None:
    reader = AnswerReader((family("triton.generate").answer,), RequestFacts())
    prompt: int | None = None
    new: list[int | None] = []
    for prompt_tokens, completion_tokens in stated:
        document = {"num_input_tokens": prompt_tokens, "num_output_tokens": completion_tokens}
        reader.read_chunk(json.dumps(document).encode())
        if new or prompt_tokens or completion_tokens:
            prompt = prompt if prompt_tokens is None else prompt_tokens
            new.append(completion_tokens)

    completion = total(new)
    usage = Usage(prompt=prompt, completion=completion)
    if completion is not None and completion > COUNT_MAX:
        assert found(reader) == MALFORMED
    else:
        assert found(reader) == (usage if usage.is_billable() else None)
