"""What is particular about the files that options name; how files are followed is tested elsewhere."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phoebe_addon.gate.edge_secrets import EdgeSecretsError, parse_secrets
from phoebe_addon.gate.routes import Match
from phoebe_addon.gate.upstreams import Upstream, UpstreamsError
from phoebe_addon.settings.files import follow_edge_secrets, follow_routes, follow_upstreams
from phoebe_runtime.errors import OperatorError
from phoebe_runtime.followed_files import Followed, UnusableFileError

A, B = Upstream("http", "a", 80), Upstream("http", "b", 80)
OLD, NEW = "an-old-secret-of-24-byte", "a-new-one-of-22-bytes."
FREE_DOCS = "free: [GET /docs]"

OPENERS: dict[str, tuple[Callable[[Path], Followed[Any]], str, str, str]] = {
    "resource map": (follow_upstreams, "res: http://a", "res: http://b", "res: ftp://b"),
    "edge secrets": (follow_edge_secrets, OLD, NEW, "short"),
    "routes": (follow_routes, FREE_DOCS, "free: [GET /other]", "free: GET /docs"),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "the-file"


@pytest.mark.parametrize("kind", OPENERS)
def test_a_file_is_read_again_when_it_changed_and_a_bad_one_changes_nothing(path: Path, kind: str) -> None:
    follow, first, second, bad = OPENERS[kind]
    path.write_text(first)
    followed = follow(path)
    before = followed.value
    for content in (bad, "\xff"):
        path.write_bytes(content.encode("latin-1"))
        followed.look()
        followed.look()
        assert followed.value is before
        assert followed.fault
    path.write_text(second)
    followed.look()
    followed.look()
    assert followed.value != before
    assert followed.fault == ""


@pytest.mark.parametrize("kind", OPENERS)
@pytest.mark.parametrize("fate", ["missing", "folder", "bad", "not text"])
def test_a_file_that_can_not_be_used_at_first_is_an_error(path: Path, kind: str, fate: str) -> None:
    follow, *_, bad = OPENERS[kind]
    if fate == "folder":
        path.mkdir()
    elif fate != "missing":
        path.write_bytes(bad.encode() if fate == "bad" else b"\xff\xfe")

    with pytest.raises(OperatorError):
        follow(path)


def test_a_map_says_where_resources_are(path: Path) -> None:
    path.write_text("res: http://a")
    assert follow_upstreams(path).value.find("res") == A


def test_a_map_that_can_not_be_used_is_named(path: Path) -> None:
    path.write_text("res: ftp://b")
    with pytest.raises(UpstreamsError, match="the-file: 'res': "):
        follow_upstreams(path)
    path.unlink()
    with pytest.raises(UnusableFileError, match=f"can't read the resource map {path}: No such file"):
        follow_upstreams(path)


def test_what_a_map_leaves_to_wish_for_is_warned_of(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.write_text("res: {url: 'http://a', engine: sglang}")
    follow_upstreams(path)

    assert "nothing it serves is billed until `models` declares" in caplog.text


def test_a_file_of_secrets_that_is_not_there_is_not_called_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError) as caught:
        follow_edge_secrets(tmp_path / OLD)

    assert OLD not in str(caught.value)
    assert "phoebe_edge_secret_file" in str(caught.value)


def test_a_file_of_secrets_that_everybody_can_read_is_warned_of(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(f"{OLD}\n{NEW}")
    path.chmod(0o600)
    assert follow_edge_secrets(path).value == parse_secrets(f"{OLD}\n{NEW}".encode(), "file")
    assert caplog.text == ""
    path.chmod(0o644)
    follow_edge_secrets(path)

    assert f"{path} can be read by every user" in caplog.text


def test_secrets_are_in_no_message_of_a_file_that_can_not_be_used(path: Path) -> None:
    path.write_text(f"{OLD}\nfifteen-charact")
    with pytest.raises(EdgeSecretsError) as caught:
        follow_edge_secrets(path)

    assert OLD not in str(caught.value)
    assert "fifteen" not in str(caught.value)


def test_routes_of_a_file_are_put_over_the_built_in_ones(path: Path) -> None:
    path.write_text(FREE_DOCS)
    routes = follow_routes(path).value

    assert isinstance(routes.find("GET", "/docs"), Match)
    assert isinstance(routes.find("POST", "/v1/chat/completions"), Match)
