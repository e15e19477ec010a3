"""Gives a file its name in an archive, proves that it is there, and writes what is in it beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from phoebe_runtime.counts import counted
from rater_service.archive.files import FileState
from rater_service.archive.place import Place, local_state, state_of
from rater_service.errors import OperatorError

SUFFIX = ".parquet"


def store_file(place: Place, name: str, draft: Path) -> FileState:
    """Give a local file its name in the archive, read it back, and say what is in it.

    What had the name is replaced. Raises OperatorError if it can't be written, or is not what was written.
    """
    written = local_state(draft)
    place.put(draft, name)
    prove_file(place, name, written)
    return written


def prove_file(place: Place, name: str, expected: FileState) -> None:
    """Read a file back. Raises OperatorError if something else is in it."""
    found = state_of(place, name)
    if found != expected:
        raise OperatorError(
            f"{name} of the archive {place.url} was read back with {counted(found.size, 'byte')} and the "
            f"SHA-256 {found.sha256} instead of {counted(expected.size, 'byte')} with "
            f"{expected.sha256}: the disk is damaged, or somebody else writes there"
        )


def store_manifest(place: Place, name: str, state: FileState, about: Mapping[str, object]) -> None:
    """Write what is in a file of the archive beside it: NAME.json. about: more about it."""
    file = name.rpartition("/")[2]
    manifest = {"file": file, "sha256": state.sha256, "bytes": state.size, **about}
    with TemporaryDirectory(prefix="phoebe-archive-") as folder:
        draft = Path(folder) / "manifest.json"
        draft.write_bytes(json.dumps(manifest, indent=2).encode() + b"\n")
        store_file(place, manifest_name(name), draft)


def manifest_name(name: str) -> str:
    """Say where the manifest of a file is."""
    return name.removesuffix(SUFFIX) + ".json"
