"""What is found and passed on does not depend on how long documents are, and so whether they are skimmed."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from phoebe_addon.answer import document, event_stream, json_body
from phoebe_addon.answer.reader import RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.answer.wanted import wanted_in_chunks
from phoebe_addon.apis.family import Family
from tests.harness.documents import FORMATS, answers, cut, families, places, single_bytes, texts
from tests.property.addon.answer.test_answer_properties import pass_through, removals, request_facts, types


@contextmanager
def whole_bytes_max(size: int) -> Iterator[None]:
    """Skim all documents longer than that, as those beyond 64 KiB are."""
    with (
        mock.patch.object(document, "WHOLE_BYTES_MAX", size),
        mock.patch.object(event_stream, "WHOLE_BYTES_MAX", size),
        mock.patch.object(json_body, "WHOLE_BYTES_MAX", size),
    ):
        yield


_TWO_ON_A_LINE = re.compile(rb"[}\]][ \t\r]*\r[ \t\r]*[{\[]")


@settings(max_examples=250)
@given(answers(), types, removals, st.tuples(request_facts, places, st.integers(0, 40)))
def test_an_answer_says_the_same_and_comes_to_the_same_however_much_of_it_is_skimmed(
    answer: tuple[Family, bytes],
    content_type: str,
    removal: Removal,
    how: tuple[RequestFacts, list[int], int],
) -> None:
    (answering, body), (facts, at, size) = answer, how
    # Two documents on one line: which of them is read depends on how long the line is.
    assume(not _TWO_ON_A_LINE.search(body))
    body = body.replace(b"[DONE]", b"{}")  # a document it is not; it is never that long
    whole = pass_through([body], removal, answering, content_type, facts)
    with whole_bytes_max(size):
        long = pass_through([body], removal, answering, content_type, facts)
        for chunks in (cut(body, at), single_bytes(body)):
            assert pass_through(chunks, removal, answering, content_type, facts) == long

    assert long[0] == whole[0]
    # What is left out is not checked, so that not all that is no JSON is known for that.
    assert replace(long[1], garbled=False) == replace(whole[1], garbled=False)


@settings(max_examples=100)
@given(families.flatmap(lambda each: st.tuples(st.just(each), texts(each.answer))), types, removals)
def test_good_documents_are_never_garbled(
    drawn: tuple[Family, bytes], content_type: str, removal: Removal
) -> None:
    answering, text = drawn
    body = b"data: " + text.replace(b"\n", b"\ndata: ") if content_type == "text/event-stream" else text
    for size in (0, 10_000):
        with whole_bytes_max(size):
            assert not pass_through([body], removal, answering, content_type)[1].garbled


@pytest.mark.parametrize("answering", FORMATS, ids=lambda each: each.api)
def test_what_may_have_to_be_taken_out_is_among_what_is_read(answering: Family) -> None:
    names = {name.encode() for switch in answering.request.usage_switches for name in switch.answer_members}

    assert names <= wanted_in_chunks((answering.answer,)).members.keys()
