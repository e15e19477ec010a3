"""Who calls, over what line: what can't work, or would give a token away, is refused when it is made."""

from pathlib import Path

import pytest

from phoebe_client import Connection


@pytest.mark.parametrize("address", ["rater:50051", "10.0.0.7:50051", "localhost.example:50051"])
def test_a_token_does_not_go_over_a_line_that_others_can_read(address: str) -> None:
    with pytest.raises(ValueError, match="without TLS"):
        Connection(address, token="t")
    assert Connection(address, token="t", tls=True).encrypted


@pytest.mark.parametrize("address", ["localhost:1", "127.0.0.1:1", "[::1]:1", "unix:/run/rater.sock"])
def test_on_loopback_a_token_needs_no_tls(address: str) -> None:
    connection = Connection(address, token="t")
    assert not connection.encrypted
    assert connection.metadata == (("authorization", "Bearer t"),)


def test_a_certificate_needs_its_key() -> None:
    with pytest.raises(ValueError, match="belong together"):
        Connection("rater:1", certificate=Path("c.pem"))


def test_a_token_is_not_shown() -> None:
    assert "hush" not in repr(Connection("localhost:1", token="hush"))
