"""How many there are, in words: `1 event`, `2 events`."""


def counted(count: int, one: str, several: str | None = None) -> str:
    """Say how many there are: `0 events`, `1 event`, `2 events`.

    one: what one of them is called. several: what more of them, or none, are called; None: that with an s.
    No verb should follow, for it would have to fit the count, too: `kept aside: 1 event`.
    """
    return f"{count} {noun(count, one, several)}"


def noun(count: int, one: str, several: str | None = None) -> str:
    """Give the word alone, for a count that is written in another form, like `12,000`."""
    if count == 1:
        return one
    return f"{one}s" if several is None else several
