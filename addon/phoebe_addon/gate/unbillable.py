"""Requests that are known not to be billed rightly, and which of them an operator lets through all the same.

A request whose answer has no usage, or no model's name, would be served and not billed; one that chooses an
adapter would be billed at the price of the model below it. `phoebe_allow_unbillable` lists names of such
kinds.
"""

from collections.abc import Callable, Iterable, Sequence

from phoebe_addon.apis.adapters import ADAPTER_PLACES
from phoebe_addon.apis.engines import Engine
from phoebe_addon.apis.families import FAMILIES
from phoebe_addon.apis.family import Path, RequestFormat, Unbillable
from phoebe_addon.gate.refusal import Refusal, RefusalReason

ADAPTER = "adapter"
UNNAMED_MODEL = "unnamed_model"

type ValuesAt = Callable[[Path], Sequence[object]]
"""Finds every value that some engine may take for the one at a place of a request."""


def unbillable_names() -> tuple[str, ...]:
    """List the names of all kinds, in order of the alphabet."""
    stated = {each.name for family in FAMILIES for each in family.request.unbillable}
    return tuple(sorted(stated | {ADAPTER, UNNAMED_MODEL}))


def find_unbillable(
    form: RequestFormat, engine: Engine, values_at: ValuesAt, *, streaming: bool, several: bool
) -> Iterable[Unbillable]:
    """Find what keeps usage out of the answer to a request. several: it asks for more than one result."""
    for each in form.unbillable:
        declared = engine.name in each.engines if each.engines else engine.name not in each.sparing
        asked = each.streamed in {None, streaming} and (several or not each.several)
        if declared and asked and (not each.place or _does_harm(each, values_at(each.place))):
            yield each


def _does_harm(unbillable: Unbillable, values: Sequence[object]) -> bool:
    stated = [value for value in values if value is not None]
    if not stated:
        return unbillable.missing
    return any(
        value not in unbillable.harmless and (not unbillable.harmful or value in unbillable.harmful)
        for value in stated
    )


def chosen_adapters(values_at: ValuesAt) -> tuple[str | None, ...]:
    """List the adapters that a request chooses, each once; None: one that has no name.

    A list has one adapter for each prompt. A prompt without one uses the model itself: that is None too.
    """
    chosen: dict[str | None, None] = {}
    for place in ADAPTER_PLACES:
        for value in values_at(place):
            each_prompts = value if isinstance(value, list) else [value]
            if any(each_prompts):
                chosen.update(
                    (name if isinstance(name, str) and name else None, None) for name in each_prompts
                )
    return tuple(chosen)


def refused_as(name: str, why: str) -> Refusal:
    """Make the refusal of a request of a kind."""
    return Refusal(
        400, RefusalReason.UNBILLABLE, f"The request can't be billed, so it is not served ({name}): {why}."
    )
