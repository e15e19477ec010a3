"""Which chunks of a stream need not be parsed, because they can't say anything that counts.

Nearly all of a stream is text that the model writes. A format reads members by their names. If none of these
names occurs anywhere in the bytes of a chunk, the chunk can't have such a member. So it is not parsed. The
result is the same as with parsing.
"""

from dataclasses import dataclass
from functools import lru_cache

from phoebe_addon.apis.family import AnswerFormat, Path

# A name may be written with escapes: "us\u0061ge".
_ESCAPE = b"\\u"


@dataclass(frozen=True, slots=True)
class Relevance:
    """What a chunk must have in it to count. words: any of them. nullable: any of them, and not null."""

    words: tuple[bytes, ...]
    nullable: tuple[tuple[bytes, bytes, bytes], ...]

    def is_irrelevant(self, chunk: bytes) -> bool:
        """Whether a chunk can be left unread, given that the model's name is known. chunk: JSON in UTF-8."""
        if _ESCAPE in chunk:
            return False
        for word in self.words:
            if word in chunk:
                return False
        for name, null, spaced_null in self.nullable:
            if chunk.count(name) != chunk.count(null) + chunk.count(spaced_null):
                return False
        return True


@lru_cache(maxsize=64)
def relevance_of(form: AnswerFormat) -> Relevance:
    """Work out what matters in the chunks of a format."""
    words: set[str] = set()
    for place in form.usage:
        words.update(place.members or {name for path in place.places for name in _last_name(path)})
    for place in form.unnamed_usage:
        # As a whole name: `image_gen` begins the types of many events.
        words.update(f'"{name}"' for path in place.places for name in _last_name(path))
    handover = (form.handover.mark,) if form.handover else ()
    for mark in (*form.ends, *form.last_words, *form.first_words, *form.failures, *handover):
        values = {value for value in mark.values if isinstance(value, str)}
        words.update(values if len(values) == len(mark.values) > 0 else _last_name(mark.place))
    nullable = {name for path in form.finish_reasons for name in _last_name(path)} - words
    return Relevance(
        tuple(sorted(word.encode() for word in words)),
        tuple(
            (name.encode(), f'{name}":null'.encode(), f'{name}": null'.encode()) for name in sorted(nullable)
        ),
    )


def _last_name(path: Path) -> set[str]:
    names = [step for step in path if isinstance(step, str)]
    return set(names[-1:])
