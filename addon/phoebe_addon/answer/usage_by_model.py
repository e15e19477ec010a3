"""Whose usage it is, where one answer states the usage of several models.

Each model is billed under its own name. An element that names a model is that model's; one that names none is
the answering model's, if it is of a kind that always is; otherwise nobody knows whose it is.

An engine may spell its own name in two ways, in the answer and in the list. Therefore the answering model's
are also the elements with the name of the last one that made the answer, if none has the answer's name.
Otherwise its tokens would be counted twice, in the totals and in the list.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from phoebe_addon.apis.usage import COUNT_NAMES, Counts, MalformedUsageError, Share, Usage

# More than any answer uses. Those beyond it are taken together, as of nobody knows which model.
FURTHER_MODELS_MAX = 16


@dataclass(frozen=True, slots=True)
class FurtherUsage:
    """What a model used besides the answering one.

    model: as the engine named it; None: nobody knows which. usage: None: it can't be read, or has nothing to
    bill on. raw: its JSON, a usage object or an array of them; None: it is not there, or too long.
    """

    model: str | None
    usage: Usage | None
    raw: str | None = None


@dataclass(frozen=True, slots=True)
class Division:
    """Shares by model: the answering model's own, its name in the list, and those of others.

    others: by name; None: nobody knows whose.
    """

    own: Sequence[Share]
    own_name: str | None
    others: Mapping[str | None, Sequence[Share]]


def divide(shares: Sequence[Share], model: str | None) -> Division:
    """Say whose shares they are. model: what the answer says made it; None: it names none."""
    name = model
    sampled = [share for share in shares if share.is_sampled]
    if sampled and not any(_is_own(share, model) for share in sampled):
        name = sampled[-1].model
    own: list[Share] = []
    others: dict[str | None, list[Share]] = {}
    for share in shares:
        if _is_own(share, name) or (share.is_sampled and share.model == name):
            own.append(share)
        elif share.model in others or len(others) < FURTHER_MODELS_MAX:
            others.setdefault(share.model, []).append(share)
        else:
            others.setdefault(None, []).append(share)
    return Division(own, name, others)


def further_usage(shares: Iterable[Share], counts: Counts) -> Usage | None:
    """Add up what a further model used; None: it can't be read, or has nothing to bill on."""
    try:
        usage = counts.whole_prompt(counts.total(shares))
    except MalformedUsageError:
        return None
    return usage if usage.is_billable() else None


def is_nothing(usage: Usage | None) -> bool:
    """Whether a usage states that nothing was used."""
    return usage is not None and not any(getattr(usage, name) for name in COUNT_NAMES)


def _is_own(share: Share, name: str | None) -> bool:
    return share.is_unnamed if share.model is None else share.model == name
