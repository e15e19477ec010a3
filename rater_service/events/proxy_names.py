"""How a proxy is named: as people call it, and by its spool."""


def proxy_in_words(producer_id: str, name: str | None) -> str:
    """Say which proxy it is. name: what people call it; None: it never said."""
    return f"{name} (producer {producer_id})" if name else f"producer {producer_id}"
