"""Parameters become requests, and answers and errors become JSON."""

import json
from datetime import UTC, datetime

import grpc
import pytest

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.console.json_messages import error_json, message_json, read_message
from rater_service.service.rpc_errors import RpcError, invalid, status_of


def test_parameters_have_the_names_of_the_contract_or_those_of_json() -> None:
    given = [("windowStart", "2026-12-01T05:00:00Z"), ("auth_id", "a&b=<c>"), ("pageSize", "7")]
    request = read_message(pb.ListRatedUsageRequest(), given)
    assert request.window_start.ToDatetime(UTC) == datetime(2026, 12, 1, 5, tzinfo=UTC)
    assert (request.auth_id, request.page_size) == ("a&b=<c>", 7)
    assert read_message(pb.ListRunsRequest(), [("no_dry_runs", "true")]).no_dry_runs
    quote = read_message(pb.ResolvePriceRequest(), [("prompt_tokens", "0")])
    assert quote.HasField("prompt_tokens"), "a count of 0 that was given is no count that was not"


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("window_start", "yesterday", "window_start must be a time like"),
        ("window_start", "2026-13-01T00:00:00Z", "window_start must be a time like"),
        ("window_start", "", "window_start must be a time like"),
        ("pageSize", "1e3", "page_size must be a whole number of 32 bits"),
        ("page_size", "1_0", "page_size must be a whole number of 32 bits"),
        ("page_size", "\u0661", "page_size must be a whole number of 32 bits"),
        ("page_size", "99999999999", "page_size must be a whole number of 32 bits"),
        ("page_size", "9" * 5_000, "page_size must be a whole number of 32 bits"),
        ("AuthId", "x", "parameters must be some of window_start, window_end, auth_id"),
    ],
    ids=["word", "month", "empty", "exponent", "underscore", "other digits", "too large", "huge", "unknown"],
)
def test_what_is_wrong_with_a_parameter_is_said(name: str, text: str, fault: str) -> None:
    with pytest.raises(RpcError) as caught:
        read_message(pb.ListRatedUsageRequest(), [(name, text)])
    assert caught.value.reason == "INVALID_REQUEST"
    assert caught.value.message.startswith(fault)
    assert len(caught.value.message) < 200


def test_a_parameter_is_given_once_whatever_its_spelling() -> None:
    with pytest.raises(RpcError, match="auth_id is given more than once"):
        read_message(pb.ListRatedUsageRequest(), [("auth_id", "a"), ("authId", "b")])


def test_a_word_for_yes_or_no_is_one_of_two() -> None:
    with pytest.raises(RpcError, match="no_dry_runs must be true or false"):
        read_message(pb.ListRunsRequest(), [("no_dry_runs", "1")])


def test_no_count_loses_digits_and_zeros_are_told() -> None:
    usage = pb.RatedUsage(prompt_tokens=2**53 + 1, cost="0.000000001")
    told = json.loads(message_json(pb.ListRatedUsageResponse(rated_usage=[usage])))
    (row,) = told["ratedUsage"]
    assert row["promptTokens"] == str(2**53 + 1)
    assert (row["cost"], row["cachedTokens"], told["nextPageToken"]) == ("0.000000001", "0", "")


def test_an_error_says_what_it_says_in_grpc() -> None:
    body, http = error_json(status_of(invalid("page_size", "must be 0 to 1000")))
    assert http == 400
    assert json.loads(body)["error"] == {
        "code": 400,
        "message": "page_size must be 0 to 1000",
        "status": "INVALID_ARGUMENT",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "INVALID_REQUEST",
                "domain": "phoebe",
            },
            {
                "@type": "type.googleapis.com/google.rpc.BadRequest",
                "fieldViolations": [{"field": "page_size", "description": "page_size must be 0 to 1000"}],
            },
        ],
    }


@pytest.mark.parametrize(
    ("code", "http"),
    [
        ("NOT_FOUND", 404),
        ("FAILED_PRECONDITION", 400),
        ("UNAUTHENTICATED", 401),
        ("PERMISSION_DENIED", 403),
        ("RESOURCE_EXHAUSTED", 429),
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 504),
        ("INTERNAL", 500),
        ("UNKNOWN", 500),
    ],
)
def test_each_status_has_one_of_http(code: str, http: int) -> None:
    error = RpcError(grpc.StatusCode[code], "WORD", "words")
    assert error_json(status_of(error))[1] == http
