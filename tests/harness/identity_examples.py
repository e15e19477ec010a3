"""What is an id of a payer or a deployment, and what is not: the same for the gate and for the store.

Each example is what stands in a header, and the id that it is for the gate, which trims as HTTP does; None:
it is refused. The store trims nothing: it takes an id, and refuses what is none or becomes one by trimming.
"""

EXAMPLES: tuple[tuple[str, str | None], ...] = (
    ("acme", "acme"),
    ("a", "a"),
    ("a~", "a~"),
    ("a!", "a!"),
    ("x" * 64, "x" * 64),
    ("x" * 65, None),
    ("two words", "two words"),
    ("a  b", "a  b"),
    ("org/team:key-1@eu", "org/team:key-1@eu"),
    ("'; DROP TABLE billing_event --", "'; DROP TABLE billing_event --"),
    (" ", None),
    ("    ", None),
    ("\t", None),
    (" acme", "acme"),
    ("acme ", "acme"),
    (" " + "x" * 64, "x" * 64),
    ("acme,other", None),
    (",", None),
    ("acme, acme", None),
    ("acm\u00e9", None),
    ("\u00a0", None),
    ("\u200b", None),
    ("a\u202eb", None),
    ("a\tb", None),
    ("a\nb", None),
    ("a\x7f", None),
    ("a\x00", None),
)
