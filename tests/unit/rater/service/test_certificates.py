from pathlib import Path

import pytest

from rater_service.errors import OperatorError
from rater_service.service.certificates import CertificateFiles, ServerCertificates
from tests.harness.certificates import Authority, replace


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


def test_files_that_fit_are_taken_without_a_warning(files: CertificateFiles) -> None:
    certificates = ServerCertificates(files)

    assert certificates.server_credentials()
    assert certificates.asks_callers
    assert certificates.warnings == ()


def test_a_key_that_others_can_read_is_warned_of(files: CertificateFiles) -> None:
    files.key.chmod(0o644)

    (warning,) = ServerCertificates(files).warnings

    assert str(files.key) in warning


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


def test_new_files_are_taken_once_and_damaged_ones_reported_once(
    files: CertificateFiles, authority: Authority
) -> None:
    certificates = ServerCertificates(files)
    certificates.server_credentials()
    assert not certificates.refresh()

    new = authority.issue_for_loopback()
    replace(files.certificate, new.certificate)
    with pytest.raises(OperatorError, match="is not that of the certificate"):
        certificates.refresh()
    assert not certificates.refresh()
    replace(files.key, new.key)

    assert certificates.refresh()
    assert not certificates.refresh()
