"""The style sheet and the script, under names that change with their content: browsers may keep them."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

_FOLDER = Path(__file__).with_name("static")
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file. content_type: with its charset."""

    content: bytes
    content_type: str


def read_static_files() -> tuple[dict[str, StaticFile], dict[str, str]]:
    """Read all files: by the names they are served under, and these names by those of the files."""
    served, names = {}, {}
    for path in sorted(_FOLDER.iterdir()):
        content = path.read_bytes()
        name = f"{path.stem}.{sha256(content).hexdigest()[:16]}{path.suffix}"
        served[name] = StaticFile(content, _TYPES[path.suffix])
        names[path.name] = f"/static/{name}"
    return served, names
