import pytest

from rater_service.errors import OperatorError
from rater_service.service.exposure import Exposure, refuse_exposure

ENCRYPT, ASK = "--tls-cert", "--tokens FILE or --tls-client-ca"


def refusal(listen: str, exposure: Exposure) -> str:
    try:
        refuse_exposure(listen, exposure)
    except OperatorError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("authenticated", [False, True])
@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("allow_plaintext", [False, True])
@pytest.mark.parametrize("allow_anonymous", [False, True])
@pytest.mark.parametrize(
    "listen", ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "example.org:1", "127.0.0.1.evil:1"]
)
def test_beyond_loopback_each_protection_that_is_missing_must_be_allowed_by_name(
    listen: str, *, encrypted: bool, authenticated: bool, allow_plaintext: bool, allow_anonymous: bool
) -> None:
    said = refusal(listen, Exposure(encrypted, authenticated, allow_plaintext, allow_anonymous))

    assert (ENCRYPT in said) == ("--allow-plaintext" in said) == (not encrypted and not allow_plaintext)
    assert (ASK in said) == ("--allow-anonymous" in said) == (not authenticated and not allow_anonymous)
    assert bool(said) == (ENCRYPT in said or ASK in said)


@pytest.mark.parametrize("listen", ["127.0.0.1:50051", "127.8.9.10:0", "localhost:50051", "[::1]:50051"])
def test_on_loopback_nothing_is_needed(listen: str) -> None:
    assert refusal(listen, Exposure(False, False, False, False)) == ""


@pytest.mark.parametrize("listen", ["50051", "localhost", ":50051", "127.0.0.1:x", "127.0.0.1:70000", ""])
def test_an_address_that_is_none_is_refused_whatever_is_allowed(listen: str) -> None:
    assert "expected HOST:PORT" in refusal(listen, Exposure(True, True, True, True))
