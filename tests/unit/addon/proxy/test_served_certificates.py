"""Which certificates clients are shown, and when they end."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from mitmproxy.certs import CertStore
from mitmproxy.options import CONF_BASENAME, Options

from phoebe_addon.proxy.served_certificates import ServedCertificate, served_certificates
from tests.harness.certificates import Authority

NOW = datetime(2026, 11, 20, 10, tzinfo=UTC)
FILE = Path("shown.pem")


def shown_by(folder: Path, *certs: str) -> list[ServedCertificate]:
    return list(served_certificates(Options(confdir=str(folder), certs=list(certs))))


def test_without_certificates_of_its_own_mitmproxys_authority_is_what_can_end(tmp_path: Path) -> None:
    CertStore.create_store(tmp_path, CONF_BASENAME, 2048)
    (found,) = shown_by(tmp_path)
    assert (found.use, found.path) == ("listener_ca", tmp_path / "mitmproxy-ca.pem")
    assert found.ends_at > (datetime.now(UTC) + timedelta(days=3600)).timestamp()


@pytest.mark.parametrize("given", ["{}", "*={}"])
def test_of_a_certificate_for_all_names_the_authority_is_of_no_account(tmp_path: Path, given: str) -> None:
    issued = Authority().issue_for_loopback()
    path = tmp_path / "with = in its name.pem" if given == "*={}" else tmp_path / "shown.pem"
    path.write_bytes(issued.key + issued.certificate)
    (found,) = shown_by(tmp_path, given.format(path))
    assert (found.use, found.path) == ("listener", path)
    assert found.ends_at == pytest.approx((datetime.now(UTC) + timedelta(days=1)).timestamp(), abs=600)


def test_for_names_without_a_certificate_one_is_made(tmp_path: Path) -> None:
    found = shown_by(tmp_path, f"api.example={tmp_path / 'api.pem'}")
    assert [one.use for one in found] == ["listener", "listener_ca"]
    assert all(math.isnan(one.ends_at) for one in found)  # mitmproxy says that they are not there


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(days=7), None),
        (timedelta(days=6, hours=23), "shown.pem ends in 6 days, at 2026-11-27T09:00:00Z: put a new one"),
        (timedelta(0), "shown.pem has ended, at 2026-11-20T10:00:00Z"),
        (timedelta(days=-400), "shown.pem has ended, at 2025-10-16T10:00:00Z"),
    ],
)
def test_what_has_ended_or_ends_within_a_week_is_warned_of(left: timedelta, said: str | None) -> None:
    warning = ServedCertificate("listener", FILE, (NOW + left).timestamp()).warning(NOW)
    assert (warning is None) if said is None else (said in str(warning))


def test_a_file_that_can_not_be_read_is_not_warned_of_here() -> None:
    assert ServedCertificate("listener", FILE, math.nan).warning(NOW) is None
