"""The files that options name, read and followed: the map of upstreams, the edge's secrets, the routes."""

import stat
from collections.abc import Sequence
from pathlib import Path

from phoebe_addon.gate.edge_secrets import (
    SECRET_LENGTH_MAX,
    SECRETS_MAX,
    EdgeSecrets,
    parse_secrets,
)
from phoebe_addon.gate.routes import RouteTable
from phoebe_addon.gate.upstreams import Upstreams, parse_map
from phoebe_addon.settings.routes_file import parse_routes
from phoebe_runtime.followed_files import FileContent, Followed, FollowedFile, Parsed, UnusableFileError

# Anything longer is another file.
_SECRETS_BYTES_MAX = 2 * SECRETS_MAX * SECRET_LENGTH_MAX


def follow_upstreams(path: Path) -> Followed[Upstreams]:
    """Read a map from resource id to model server. Raises OperatorError."""

    def parse(contents: Sequence[FileContent]) -> Parsed[Upstreams]:
        upstreams = parse_map(_text(contents, name), str(path))
        return Parsed(upstreams, upstreams.warnings)

    name = f"the resource map {path}"
    return Followed(name, [FollowedFile(path, name)], parse)


def follow_edge_secrets(path: Path) -> Followed[EdgeSecrets]:
    """Read the secrets of which the edge must show one. Raises OperatorError."""

    def parse(contents: Sequence[FileContent]) -> Parsed[EdgeSecrets]:
        (file,) = contents
        open_to_all = f"{path} can be read by every user of this machine"
        return Parsed(
            parse_secrets(file.content, str(path)), (open_to_all,) if file.mode & stat.S_IROTH else ()
        )

    # Not by its name: whoever takes the option for the secret itself must not find it in the log.
    file = FollowedFile(path, "the file that phoebe_edge_secret_file names", _SECRETS_BYTES_MAX)
    return Followed("the file of the edge's secrets", [file], parse)


def follow_routes(path: Path) -> Followed[RouteTable]:
    """Read the operator's own routes, and put them over the built-in ones. Raises OperatorError."""

    def parse(contents: Sequence[FileContent]) -> Parsed[RouteTable]:
        return Parsed(parse_routes(_text(contents, name), str(path)))

    name = f"the routes file {path}"
    return Followed(name, [FollowedFile(path, name)], parse)


def _text(contents: Sequence[FileContent], name: str) -> str:
    (file,) = contents
    try:
        return file.content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UnusableFileError(f"can't read {name}: {error}") from None
