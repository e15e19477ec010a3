"""The secret by which the edge shows that a request is its own, and not of anybody on the same network."""

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_runtime.errors import OperatorError

SECRET_HEADER = "X-Phoebe-Edge-Secret"  # noqa: S105
SECRET_LENGTH_MIN = 16
SECRET_LENGTH_MAX = 512
SECRETS_MAX = 16
"""Two are enough to exchange one for another; every one of them is compared for every request."""

_SECRET = re.compile(rb"[!-~]{%d,%d}" % (SECRET_LENGTH_MIN, SECRET_LENGTH_MAX))


class EdgeSecretsError(OperatorError):
    """Secrets can't be used. The message says where and why, and never quotes them."""


@dataclass(frozen=True, slots=True)
class EdgeSecrets:
    """The secrets of trusted edges; a request shows any one of them. Without secrets none is asked for."""

    secrets: tuple[bytes, ...] = field(default=(), repr=False)

    def check(self, headers: Mapping[str, Sequence[str]], header_name: str) -> Refusal | None:
        """Check that a request shows one of the secrets, in exactly one header of that name.

        headers: every value of each header, by lower-case name. Returns a Refusal (403) that says nothing
        about what was shown.
        """
        if not self.secrets:
            return None
        values = headers.get(header_name.lower(), ())
        if len(values) == 1 and self._is_known(values[0]):
            return None
        return Refusal(
            403,
            RefusalReason.EDGE_SECRET,
            f"Requests are taken only from trusted edges, which show a secret: {header_name} must be given "
            "once, and right.",
        )

    def _is_known(self, value: str) -> bool:
        shown = value.strip(" \t").encode("utf-8", "surrogateescape")
        # Every secret is compared, also after one that fits, so that the time does not tell which one it was.
        return sum(hmac.compare_digest(shown, secret) for secret in self.secrets) > 0


def parse_secrets(content: bytes, source: str) -> EdgeSecrets:
    """Read secrets, one a line. source: what to call them in errors. Raises EdgeSecretsError."""
    numbered = [(number, line.strip()) for number, line in enumerate(content.splitlines(), 1)]
    filled = [(number, line) for number, line in numbered if line]
    if not 1 <= len(filled) <= SECRETS_MAX:
        raise EdgeSecretsError(f"{source} must hold 1 to {SECRETS_MAX} secrets, one a line")
    for number, line in filled:
        if not _SECRET.fullmatch(line):
            raise EdgeSecretsError(
                f"{source}, line {number}: a secret has {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} "
                "characters of printable ASCII without spaces"
            )
    return EdgeSecrets(tuple(line for _, line in filled))
