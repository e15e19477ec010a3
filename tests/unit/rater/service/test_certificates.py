from datetime import timedelta
from pathlib import Path

import pytest

from rater_service.errors import OperatorError
from rater_service.service.certificates import CertificateFiles, ServerCertificates
from tests.harness.certificates import Authority, replace

type Log = pytest.LogCaptureFixture


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> CertificateFiles:
    certificate, key = authority.issue_for_loopback().write(tmp_path, "rater")
    replace(tmp_path / "ca.pem", authority.pem)
    return CertificateFiles(certificate, key, tmp_path / "ca.pem")


def refusal(files: CertificateFiles) -> str:
    with pytest.raises(OperatorError) as raised:
        ServerCertificates(files)
    return str(raised.value)


def test_files_that_fit_are_taken_without_a_warning(files: CertificateFiles, caplog: Log) -> None:
    certificates = ServerCertificates(files)

    assert certificates.server_credentials()
    assert certificates.asks_callers
    assert caplog.messages == []


def test_a_key_that_others_can_read_is_warned_of(files: CertificateFiles, caplog: Log) -> None:
    files.key.chmod(0o644)

    ServerCertificates(files)

    assert caplog.messages == [f"the private key {files.key} can be read by every user of this machine"]


def test_a_certificate_that_has_ended_is_warned_of(
    files: CertificateFiles, authority: Authority, caplog: Log
) -> None:
    authority.issue_for_loopback(lasts=-timedelta(hours=1)).write(files.certificate.parent, "rater")

    ServerCertificates(files)

    [message] = caplog.messages
    assert message.startswith(f"the certificate {files.certificate} ended at 20")
    assert message.endswith("Z: nobody who checks it can connect")


@pytest.mark.parametrize("missing", ["certificate", "key", "client_ca"])
def test_a_file_that_is_missing_is_named(files: CertificateFiles, missing: str) -> None:
    path: Path = getattr(files, missing)
    path.unlink()

    assert refusal(files) == f"can't read {path}: No such file or directory"


def test_a_key_of_another_certificate_is_refused(files: CertificateFiles, authority: Authority) -> None:
    replace(files.key, authority.issue_for_loopback().key)

    assert refusal(files) == f"the private key {files.key} is not that of the certificate {files.certificate}"


@pytest.mark.parametrize("damaged", ["certificate", "key"])
@pytest.mark.parametrize("content", [b"", b"nonsense", b"-----BEGIN CERTIFICATE-----\n!!\n"])
def test_a_damaged_file_is_refused(files: CertificateFiles, damaged: str, content: bytes) -> None:
    replace(getattr(files, damaged), content)

    assert "are not a certificate and its private key in PEM form" in refusal(files)


@pytest.mark.parametrize("content", [b"", b"nonsense"])
def test_authorities_that_are_none_are_refused(files: CertificateFiles, content: bytes) -> None:
    assert files.client_ca
    replace(files.client_ca, content)

    assert refusal(files) == f"{files.client_ca} holds no certificate of an authority in PEM form"


def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(
    files: CertificateFiles, authority: Authority
) -> None:
    locked = authority.issue("rater", passphrase=b"secret")
    replace(files.certificate, locked.certificate)
    replace(files.key, locked.key)

    assert "is encrypted" in refusal(files)


def test_new_files_are_given_to_grpc_once_and_half_of_them_not_at_all(
    files: CertificateFiles, authority: Authority, caplog: Log
) -> None:
    certificates = ServerCertificates(files)
    certificates.server_credentials()
    assert certificates._newer() is None

    def look() -> None:
        certificates.look()
        certificates.look()

    new = authority.issue_for_loopback()
    replace(files.certificate, new.certificate)
    look()
    look()
    assert certificates._newer() is None
    assert caplog.text.count("is not that of the certificate") == 1
    assert "is not that of the certificate" in certificates.changes.fault
    replace(files.key, new.key)
    look()
    assert certificates.changes.fault == ""
    assert certificates._newer() is not None
    assert certificates._newer() is None
