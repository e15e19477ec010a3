"""Who may call what: the tokens file, with one credential on each line.

    # name        rights       credential
    addon-eu-1    produce      sha256:4d967a30111bf29f0eba01c448b375c1629b2fed01cdfcc3aed91f1b57d5dd5e
    atlas         rate,read    sha256:…
    atlas         rate,read    sha256:…       # both hold while a token is exchanged for the next
    reports       read         certificate:reports.example.org

The file holds no secret: of a token it has the SHA-256 only. A token has at least 32 characters of chance, so
that nothing slower than SHA-256 is needed to keep it from being guessed.
"""

import hmac
import re
import secrets
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from rater_service.errors import OperatorError

TOKEN_LENGTH_MIN = 32
TOKEN_LENGTH_MAX = 512
# Every call with a token is compared with every line.
LINES_MAX = 1_000

# What a secret scanner can look for.
_TOKEN_PREFIX = "phoebe_"  # noqa: S105
_TOKEN_RANDOM_BYTES = 32
_NAME = re.compile(r"[A-Za-z0-9._@-]{1,64}")
_TOKEN = "sha256:"  # noqa: S105
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CERTIFICATE = "certificate:"


class Right(StrEnum):
    """What a caller may do; none of them includes another."""

    PRODUCE = "produce"
    RATE = "rate"
    READ = "read"
    EVENTS = "events"
    """Events one by one: they name users and carry what engines reported of single requests."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Someone the tokens file names, with what its line allows."""

    name: str
    rights: frozenset[Right]


class AccessListError(OperatorError):
    """A tokens file that can't be used.

    `faults` says what is wrong with each line, and never what stands there: it could be a token.
    """

    def __init__(self, source: str, faults: Sequence[str]) -> None:
        super().__init__("\n".join(f"{source}: {fault}" for fault in faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class AccessList:
    """The credentials that are known. by_token: SHA-256 of the token, and whose it is."""

    by_token: tuple[tuple[bytes, Caller], ...] = field(repr=False)
    by_certificate: Mapping[str, Caller]

    def caller_of_token(self, token: str) -> Caller | None:
        """Find whose token this is; takes as long for one that is nearly right as for any other."""
        if not TOKEN_LENGTH_MIN <= len(token) <= TOKEN_LENGTH_MAX:
            return None
        return self.caller_of_digest(token_digest(token))

    def caller_of_digest(self, digest: bytes) -> Caller | None:
        """Find whose token has this SHA-256; see `caller_of_token`."""
        found = None
        for known, caller in self.by_token:
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def caller_of_certificate(self, names: Collection[str]) -> Caller | None:
        """Find who is called by one of a certificate's names; the first line of the file that fits holds."""
        return next((caller for name, caller in self.by_certificate.items() if name in names), None)


def new_token() -> str:
    """Make a token of 256 random bits."""
    return _TOKEN_PREFIX + secrets.token_urlsafe(_TOKEN_RANDOM_BYTES)


def token_line(name: str, rights: Collection[Right], token: str) -> str:
    """Write the line that lets the token in. Raises ValueError for a name that can't stand in the file."""
    if not _NAME.fullmatch(name):
        raise ValueError("a name is 1 to 64 letters, digits and . _ @ -")
    return f"{name} {','.join(sorted(rights))} {_TOKEN}{token_digest(token).hex()}"


def parse_access_list(text: str, source: str) -> AccessList:
    """Parse the text of a tokens file. Raises AccessListError with all its faults."""
    reader = _Reader()
    for number, line in _entries(text):
        reader.read(number, line)
    if reader.lines > LINES_MAX:
        reader.faults.append(f"names {reader.lines} credentials, at most {LINES_MAX} are possible")
    if not reader.lines:
        # Also what a file looks like that is being written.
        reader.faults.append("names nobody")
    if reader.faults:
        raise AccessListError(source, reader.faults)
    return AccessList(tuple(reader.tokens.items()), reader.certificates)


def _entries(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if entry := re.sub(r"(^|\s)#.*", "", line).strip():
            yield number, entry


def token_digest(token: str) -> bytes:
    """Return what is kept of a token: its SHA-256."""
    return sha256(token.encode("utf-8", "surrogateescape")).digest()


class _Reader:
    """Reads lines and collects what is wrong with them."""

    def __init__(self) -> None:
        self.tokens: dict[bytes, Caller] = {}
        self.certificates: dict[str, Caller] = {}
        self.faults: list[str] = []
        self.lines = 0

    def read(self, number: int, line: str) -> None:
        self.lines += 1
        fields = line.split()
        if len(fields) != 3:
            self._fault(number, "must have three fields: a name, rights and a credential")
            return
        name, rights, credential = fields
        caller = Caller(name, self._rights(number, rights))
        if not _NAME.fullmatch(name):
            self._fault(number, "the name must be 1 to 64 letters, digits and . _ @ -")
        if not self._keep(number, credential, caller):
            self._fault(number, "the credential stands on an earlier line already")

    def _rights(self, number: int, text: str) -> frozenset[Right]:
        names = text.split(",")
        if not set(names) <= set(Right):
            self._fault(number, f"the rights must be some of {','.join(Right)}, with commas between them")
            return frozenset()
        return frozenset(map(Right, names))

    def _keep(self, number: int, credential: str, caller: Caller) -> bool:
        if credential.startswith(_TOKEN) and _DIGEST.fullmatch(digest := credential.removeprefix(_TOKEN)):
            return self.tokens.setdefault(bytes.fromhex(digest), caller) is caller
        if credential.startswith(_CERTIFICATE) and (name := credential.removeprefix(_CERTIFICATE)):
            return self.certificates.setdefault(name, caller) is caller
        self._fault(
            number, f"the credential must be {_TOKEN} and 64 hex digits in lower case, or {_CERTIFICATE}NAME"
        )
        return True

    def _fault(self, number: int, text: str) -> None:
        self.faults.append(f"line {number}: {text}")
