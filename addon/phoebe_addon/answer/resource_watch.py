"""What answers give away about their resources, when these are declared wrongly or not at all.

An operator hears of each suspicion when it first arises, and only then. What is recorded of the answers does
not depend on it.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from enum import StrEnum

# Resource ids come from the trusted edge. A proxy with more of them forgets the oldest, and may say things
# twice.
_RESOURCES_MAX = 10_000
_NAME_SHOWN_MAX = 100


class Suspicion(StrEnum):
    """What a resource is suspected of; the label of the metric."""

    ECHOES = "echoes"
    NAMELESS = "nameless"
    REFUSES_ASKING = "refuses_asking"


@dataclass(frozen=True, slots=True)
class Clues:
    """What one answer gives away.

    echoed: the model it names, if the client asked for exactly that name and the engine may only repeat it.
    nameless: it reports usage, and neither engine nor operator says of which model. refused_asking: the
    engine refuses a member of the request that Phoebe added.
    """

    echoed: str | None = None
    nameless: bool = False
    refused_asking: bool = False


NO_CLUES = Clues()


@dataclass(slots=True)
class _Resource:
    echoed: str | None = None
    suspected: set[Suspicion] = field(default_factory=set)


class ResourceWatch:
    """Collects clues by resource."""

    def __init__(self) -> None:
        self._resources: OrderedDict[str, _Resource] = OrderedDict()

    def notice(self, resource_id: str, clues: Clues) -> list[tuple[Suspicion, str]]:
        """Take the clues of an answer. Returns what is suspected for the first time, with what to do."""
        if clues == NO_CLUES:
            return []
        resource = self._resource(resource_id)
        found: list[tuple[Suspicion, str]] = []
        if clues.echoed is not None:
            first = resource.echoed = resource.echoed or clues.echoed
            if first != clues.echoed:
                found.append((Suspicion.ECHOES, _echoes(first, clues.echoed)))
        if clues.nameless:
            found.append((Suspicion.NAMELESS, _NAMELESS))
        if clues.refused_asking:
            found.append((Suspicion.REFUSES_ASKING, _REFUSES_ASKING))
        new = [each for each in found if each[0] not in resource.suspected]
        resource.suspected.update(suspicion for suspicion, _ in new)
        return new

    def _resource(self, resource_id: str) -> _Resource:
        resource = self._resources.setdefault(resource_id, _Resource())
        self._resources.move_to_end(resource_id)
        if len(self._resources) > _RESOURCES_MAX:
            self._resources.popitem(last=False)
        return resource


_NAMELESS = (
    "its answers have usage and name no model, so that nothing of it is billed: declare exactly one model"
)
_REFUSES_ASKING = (
    "it refuses to be asked for usage: declare `usage: none` if it reports usage unasked, which "
    "`phoebe conformance` can tell"
)


def _echoes(first: str, second: str) -> str:
    names = " and ".join(ascii(name[:_NAME_SHOWN_MAX]) for name in (first, second))
    return (
        f"it answered as {names}, each exactly what was asked: if it repeats names, clients choose their own "
        "price; declare its models"
    )
