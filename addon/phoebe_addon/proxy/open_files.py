"""How many clients a process can serve with the files it may open.

A process that can't open another file can't reach an engine for a client it has taken, nor open its spool
again after an error. So it takes no more clients than it has files for.
"""

import resource
from dataclasses import dataclass

# Libraries, logs, the spool and what it adopts, the rater, metrics.
_OWN_FILES = 200


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """How many connections of clients, and exchanges, may be there at a time."""

    connections_max: int
    exchanges_max: int

    def files(self) -> int:
        """Return how many open files they need.

        A connection of a client takes one and keeps one for its engine; on an HTTP/2 connection each
        exchange takes one.
        """
        return 2 * self.connections_max + self.exchanges_max + _OWN_FILES

    def within(self, files_max: int) -> "ClientLimits":
        """Return as many of them as there are files for, at least one each."""
        if self.files() <= files_max:
            return self
        each = max(1, (files_max - _OWN_FILES) // 3)
        return ClientLimits(min(self.connections_max, each), min(self.exchanges_max, each))


def possible(wanted: ClientLimits) -> ClientLimits:
    """Let this process open the files that so many clients need. Returns how many there can be."""
    return wanted.within(allow_open_files(wanted.files()))


def allow_open_files(wanted: int) -> int:
    """Let this process open so many files, as far as the system allows. Returns how many it may open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
