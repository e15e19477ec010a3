"""What is read of the documents of an answer, as the skimmer of long ones takes it."""

from dataclasses import dataclass, field, replace
from functools import lru_cache

from phoebe_addon.apis.family import AnswerFormat, Fold, Path, at
from phoebe_addon.formats.json_wanted import Wanted

_CHOICES = at("choices.*")


@dataclass(slots=True)
class _Place:
    """A place in a document, with those inside of it."""

    members: "dict[str, _Place]" = field(default_factory=dict)
    each: "_Place | None" = None
    others: bool = False
    whole: bool = False

    def add(self, path: Path) -> "_Place":
        place = self
        for step in path:
            if isinstance(step, str):
                place = place.members.setdefault(step, _Place())
            else:
                place.each = place.each or _Place()
                place = place.each
        return place

    def keep(self, path: Path) -> None:
        self.add(path).whole = True

    def wanted(self) -> Wanted:
        return Wanted(
            members={name.encode(): place.wanted() for name, place in self.members.items()},
            others=Wanted(whole=True) if self.others else None,
            each=self.each.wanted() if self.each else None,
            whole=self.whole,
        )


@lru_cache(maxsize=64)
def wanted_in_chunks(formats: tuple[AnswerFormat, ...]) -> Wanted:
    """Say what is read of the chunks of a stream."""
    place = _common(formats)
    if any(form.fold is Fold.CHOICES for form in formats):
        # Only whether a choice is empty is looked at.
        place.add(_CHOICES).others = True
        place.keep((*_CHOICES, "index"))
        place.keep(("id",))
    place.keep(("index",))
    return place.wanted()


@lru_cache(maxsize=64)
def wanted_in_documents(formats: tuple[AnswerFormat, ...]) -> Wanted:
    """Say what is read of a document that is a whole answer."""
    result = wanted_in_chunks(formats)
    members = dict(result.members)
    document = result
    for path in {path for form in formats for path in form.results}:
        if not path:
            document = replace(document, each=result, results=path)
        else:
            (name,) = path
            assert isinstance(name, str)
            members[name.encode()] = Wanted(each=result, results=path)
    return replace(document, members=members)


def _common(formats: tuple[AnswerFormat, ...]) -> _Place:
    document = _Place()
    for form in formats:
        marks = [mark.place for mark in (*form.ends, *form.last_words, *form.first_words, *form.failures)]
        handover = (form.handover.mark.place, form.handover.model) if form.handover else ()
        for path in (*form.models, *form.finish_reasons, *marks, *handover):
            document.keep(path)
        for place in (*form.usage, *form.unnamed_usage):
            for path in place.places:
                for member in place.members:
                    document.keep((*path, member))
                if not place.members:
                    document.keep(path)
                for inside in place.counts.places():
                    document.keep((*path, *inside))
    return document
