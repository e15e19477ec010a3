"""What this program is installed as, and how more of it is installed.

Its name on package indexes is not `phoebe`: that is another project's, and a hint with that name would
fetch it.
"""

import json
from collections.abc import Iterable
from importlib.metadata import Distribution

NAME = "phoebe-metering"


def installed_version() -> str:
    """Give the version of the installed distribution."""
    return Distribution.from_name(NAME).version


def requirement(extras: Iterable[str]) -> str:
    """Give the requirement, for pip and other installers, of this installation with more extras.

    Where it came from a folder, a file or a repository, which PEP 610 keeps, the requirement names that
    place: an index is not asked for it, and no namesake comes instead. From an index, it is the same version.
    """
    installed = Distribution.from_name(NAME)
    wanted = f"{NAME}[{','.join(extras)}]"
    origin = installed.read_text("direct_url.json")
    if origin is None:
        return f"{wanted}=={installed.version}"
    place = json.loads(origin)
    commit = place.get("vcs_info", {})
    if commit:
        return f"{wanted} @ {commit['vcs']}+{place['url']}@{commit['commit_id']}"
    return f"{wanted} @ {place['url']}"


def how_to_install(extras: Iterable[str]) -> str:
    """Give the command that adds the extras to this installation, for a message."""
    return f"pip install '{requirement(extras)}'"
