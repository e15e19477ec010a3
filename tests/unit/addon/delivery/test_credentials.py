from pathlib import Path

import pytest

from phoebe_addon.delivery.credentials import PLAINTEXT, CredentialFiles, Credentials
from phoebe_addon.settings.options import OPTIONS
from phoebe_addon.settings.settings import SettingsError
from phoebe_runtime.followed_files import UnusableFileError
from tests.harness.addon_settings import settings_with
from tests.harness.certificates import Authority, replace

TOKEN = "phoebe_" + "s" * 43


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture
def files(tmp_path: Path, authority: Authority) -> CredentialFiles:
    certificate, key = authority.issue("addon").write(tmp_path, "addon")
    replace(tmp_path / "ca.pem", authority.pem)
    replace(tmp_path / "token", f"{TOKEN}\n".encode())
    return CredentialFiles(True, tmp_path / "ca.pem", certificate, key, tmp_path / "token")


def refusal(files: CredentialFiles) -> str:
    with pytest.raises(UnusableFileError) as raised:
        files.follow()
    return str(raised.value)


def faults(**given: str | bool) -> str:
    with pytest.raises(SettingsError) as raised:
        settings_with(**given)
    return str(raised.value)


def test_a_token_goes_as_metadata_with_every_call(files: CredentialFiles) -> None:
    credentials = files.follow().value

    assert credentials.metadata == (("authorization", f"Bearer {TOKEN}"),)
    assert credentials.channel


def test_without_files_the_connection_is_plain_and_says_nothing() -> None:
    assert PLAINTEXT.follow().value == Credentials(channel=None, metadata=())


def test_the_token_does_not_show_when_credentials_are_printed(files: CredentialFiles) -> None:
    assert TOKEN not in repr(files.follow().value)
    assert TOKEN not in repr(files)


def test_secrets_that_others_can_read_are_warned_of(
    files: CredentialFiles, caplog: pytest.LogCaptureFixture
) -> None:
    assert files.key
    assert files.token
    files.follow()
    assert caplog.messages == []
    files.key.chmod(0o644)
    files.token.chmod(0o604)

    files.follow()
    assert caplog.messages == [
        f"{path} can be read by every user of this machine" for path in (files.key, files.token)
    ]


def test_a_changed_file_makes_other_credentials(files: CredentialFiles, authority: Authority) -> None:
    followed = files.follow()
    assert files.token
    assert files.key
    assert files.certificate
    replace(files.token, b"another-token")
    followed.look()
    followed.look()
    assert followed.value.metadata == (("authorization", "Bearer another-token"),)

    before = followed.value
    issued = authority.issue("addon")
    replace(files.certificate, issued.certificate)
    replace(files.key, issued.key)
    followed.look()
    followed.look()
    assert followed.value is not before
    assert followed.fault == ""


@pytest.mark.parametrize("missing", ["ca", "certificate", "key"])
def test_a_file_that_is_missing_is_named(files: CredentialFiles, missing: str) -> None:
    path: Path = getattr(files, missing)
    path.unlink()

    assert refusal(files) == f"can't read {path}: No such file or directory"


@pytest.mark.parametrize("content", [b"", b"\n", b"two words", b"two\nlines", "tökens".encode(), b"x" * 513])
def test_a_file_that_holds_no_token_is_refused_without_quoting_it(
    files: CredentialFiles, content: bytes
) -> None:
    assert files.token
    replace(files.token, content)

    said = refusal(files)

    assert said == f"{files.token} must hold a token and nothing else: up to 512 characters, no spaces"


def test_damaged_certificates_are_refused(files: CredentialFiles, authority: Authority) -> None:
    assert files.key
    assert files.ca
    replace(files.key, authority.issue("other").key)
    assert "is not that of the certificate" in refusal(files)
    replace(files.key, b"nonsense")
    assert "are not a certificate and its private key" in refusal(files)
    locked = authority.issue("addon", passphrase=b"secret")
    assert files.certificate
    replace(files.certificate, locked.certificate)
    replace(files.key, locked.key)
    assert "is encrypted" in refusal(files)
    replace(files.ca, b"nonsense")
    assert "holds no certificate of an authority" in refusal(files)


def test_the_options_name_the_files(files: CredentialFiles) -> None:
    given = {
        "phoebe_rater": "rater.example:50051",
        "phoebe_rater_tls": True,
        "phoebe_rater_ca": str(files.ca),
        "phoebe_rater_cert": str(files.certificate),
        "phoebe_rater_key": str(files.key),
        "phoebe_rater_token_file": str(files.token),
    }

    read = settings_with(**given)
    assert read.rater_files == files
    assert read.rater_credentials.value.metadata == (("authorization", f"Bearer {TOKEN}"),)
    assert settings_with().rater_files == PLAINTEXT


def test_options_that_do_not_go_together_are_refused(files: CredentialFiles) -> None:
    assert "need phoebe_rater_tls=true" in faults(phoebe_rater_ca=str(files.ca))
    assert "go together" in faults(phoebe_rater_tls=True, phoebe_rater_cert=str(files.certificate))
    assert "can't read" in faults(phoebe_rater_tls=True, phoebe_rater_ca="/nowhere")


@pytest.mark.parametrize("rater", ["rater:50051", "192.0.2.1:1", "localhost.example:1"])
def test_a_token_is_not_sent_in_clear_beyond_this_machine_unless_that_is_allowed(
    files: CredentialFiles, rater: str
) -> None:
    given = {"phoebe_rater": rater, "phoebe_rater_token_file": str(files.token)}

    assert "would cross the network unencrypted" in faults(**given)
    assert settings_with(**given, phoebe_rater_tls=True).rater_files.token
    assert settings_with(**given, phoebe_rater_allow_plaintext=True).rater_files.token


@pytest.mark.parametrize("rater", ["127.0.0.1:50051", "localhost:1", "[::1]:1"])
def test_a_token_may_be_sent_in_clear_on_this_machine(files: CredentialFiles, rater: str) -> None:
    assert settings_with(phoebe_rater=rater, phoebe_rater_token_file=str(files.token)).rater_files.token


def test_a_token_in_the_place_of_its_file_is_not_repeated() -> None:
    assert TOKEN not in faults(phoebe_rater_token_file=TOKEN)


def test_no_option_takes_the_token_itself() -> None:
    about_tokens = [option.name for option in OPTIONS if "token" in option.name]

    assert about_tokens == ["phoebe_rater_token_file"]
