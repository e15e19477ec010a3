"""What is measured of files that are followed."""

import time
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from phoebe_runtime.file_metrics import FileMetrics
from phoebe_runtime.followed_files import FileChanges, FollowedFile


def test_changes_are_counted_by_what_became_of_them(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    changes = FileChanges("the file", [FollowedFile(file, "the file")])
    registry = CollectorRegistry()
    measured = FileMetrics()
    measured.follow("tokens", lambda: changes)
    registry.register(measured)

    def value(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, {"file": "tokens", **labels})

    def counts() -> tuple[float | None, ...]:
        return (
            value("phoebe_file_refused"),
            value("phoebe_file_reloads_total", result="taken"),
            value("phoebe_file_reloads_total", result="refused"),
        )

    def offer(content: str, answer: Callable[[], None]) -> None:
        file.write_text(content)
        while changes.look() is None:
            pass
        answer()

    file.write_text("one")
    changes.read()
    assert value("phoebe_file_read_timestamp_seconds") == 0
    changes.use()
    assert counts() == (0, 0, 0)
    assert time.time() - (value("phoebe_file_read_timestamp_seconds") or 0) < 60
    offer("two", changes.use)
    assert counts() == (0, 1, 0)
    offer("bad", lambda: changes.refuse("it is bad"))
    changes.refuse("it is bad")
    assert counts() == (1, 1, 1)
    file.write_text("two")
    while changes.fault:
        changes.look()
    assert counts() == (0, 2, 1)
