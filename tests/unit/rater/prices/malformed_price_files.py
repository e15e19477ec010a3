"""Price files that are wrong in one way each: what is written, and where its one fault is.

Each list says how its lines become files; a fault is (line, model, field), as `Fault` has it, None where
there is none. Line numbers are those of the file that is made.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MINIMAL = """\
version: 1
base_models:
  org/a: { prompt: "0.000000200", cached: "0", completion: "0.000000600" }
"""
RATES = '{ prompt: "1", cached: "1", completion: "1" }'

type Place = tuple[int | None, str | None, str | None]


@dataclass(frozen=True, slots=True)
class Malformed:
    """A file and the place of its one fault."""

    text: str
    place: Place


WHOLE_FILE = (None, None, None)
ANY_LINE_1 = (1, None, None)

# In the place of a rate.
NOT_RATES = [
    *("0.0000002", "1", "0", "00", "1.5", "'1,5'", "'1 000'", "' 1'", "'1 '", "'\t1'", '"1\\n"', '"\\n1"'),
    *("1e-7", "'1e-7'", "'1E5'", "'1e+5'", "'0x1F'", "'0o17'", "'0b1'", "017", "'1_000'", "1_000", "1:30"),
    *("'1:30'", "190:20:30", "'+1'", "'-1'", "-1", "'-0'", "'.5'", "'5.'", "'.'", "'1..2'", "'1.2.3'", "''"),
    *(".inf", "-.inf", ".nan", "'NaN'", "'Infinity'", "'inf'", "null", "~", '""', "yes", "no", "on"),
    *(
        "true",
        "False",
        "'$1'",
        "'1 USD'",
        "'1/2'",
        "'10%'",
        "one",
        "2026-12-01",
        "'\uff11'",
        "'٣'",
        "'0.\uff10'",
    ),
    *(
        "'²'",
        "'½'",
        "'一'",
        "'1\u200b'",
        "'\u00a01'",
        "'\u22121'",
        "'1\u066b5'",
        '"1\\0"',
        '"\\x31\\u0020"',
        "'''1'''",
    ),
    *("[]", "{}", "['1']", "{ rate: '1' }", "|\n      1", ">-\n      1", "# nothing"),
    *(f"'{'1' * 100}'", f"'0.{'0' * 98}1'", f"'0.{'1' * 39}'", "'1000000.000000001'", "'9999999'"),
    *("'0.0000000001'", "'0.00000000049999999999'", "'0.000000000000000000000000000000000001'"),
]
# In the place of the version.
NOT_VERSIONS = [
    *(
        "'1'",
        '"1"',
        "2",
        "0",
        "-1",
        "+1",
        "1.0",
        "01",
        "0x1",
        "0b1",
        "1e0",
        "1_",
        "\uff11",
        "one",
        "v1",
        "true",
        "yes",
    ),
    *("null", "~", "", "[1]", "{}", "{ 1: 1 }", "|\n  1", ">\n  1"),
]
# In the place of effective_from.
NOT_HOURS = [
    *(
        "2026-12-01",
        "2026-12-01 00:00:00Z",
        "2026-12-01t00:00:00z",
        "2026-12-01T00:00:00",
        "2026-12-01T00:00Z",
    ),
    *("2026-12-01T00:30:00Z", "2026-12-01T00:00:01Z", "2026-12-01T00:00:00.0Z", "2026-12-01T00:00:00+01:00"),
    *("2026-12-01T00:00:00-00:00", "2026-13-01T00:00:00Z", "2026-02-29T00:00:00Z", "2026-12-01T24:00:00Z"),
    *(
        "0000-12-01T00:00:00Z",
        "'\uff12026-12-01T00:00:00Z'",
        "' 2026-12-01T00:00:00Z'",
        '"2026-12-01T00:00:00Z\\n"',
    ),
    *("now", "null", "", "0", "1796083200", "[2026-12-01T00:00:00Z]", "{}", "10000-01-01T00:00:00Z"),
]
# In the place of the premium: what is written, and the field that is wrong.
NOT_PREMIUMS = [
    ("", "fine_tune_premium"),
    ("none", "fine_tune_premium"),
    ("[]", "fine_tune_premium"),
    ("{}", "fine_tune_premium.policy"),
    ("{ factor: '1' }", "fine_tune_premium.policy"),
    ("{ policy: }", "fine_tune_premium.policy"),
    ("{ policy: [identity] }", "fine_tune_premium.policy"),
    ("{ policy: Identity }", "fine_tune_premium.policy"),
    ("{ policy: 'identity ' }", "fine_tune_premium.policy"),
    ("{ policy: surcharge }", "fine_tune_premium.policy"),
    ("{ policy: multiplier }", "fine_tune_premium.factor"),
    ("{ policy: markup }", "fine_tune_premium.markup"),
    ("{ policy: identity, factor: '1' }", "fine_tune_premium.factor"),
    ("{ policy: identity, markup: '1' }", "fine_tune_premium.markup"),
    ("{ policy: multiplier, factor: '1', markup: '1' }", "fine_tune_premium.markup"),
    ("{ policy: multiplier, factor: 1.5 }", "fine_tune_premium.factor"),
    ("{ policy: multiplier, factor: '-1' }", "fine_tune_premium.factor"),
    ("{ policy: multiplier, factor: '1000.1' }", "fine_tune_premium.factor"),
    ("{ policy: multiplier, factor: { x: '1' } }", "fine_tune_premium.factor"),
    ("{ policy: markup, markup: '1e-9' }", "fine_tune_premium.markup"),
    ("{ policy: markup, markup: '1000001' }", "fine_tune_premium.markup"),
    ("{ policy: identity, policy: identity }", "fine_tune_premium.policy"),
    ("{ policy: identity, Factor: '1' }", "fine_tune_premium.Factor"),
]
# Below base_models: what is written, and the model and the field that are wrong.
NOT_MODELS = [
    # Usage of several models is summed under it.
    (f'"(other models)": {RATES}', "(other models)", None),
    ("org/b:", "org/b", None),
    ("org/b: free", "org/b", None),
    ("org/b: '1'", "org/b", None),
    ("org/b: []", "org/b", None),
    ("org/b: { prompt: '1', cached: '1' }", "org/b", "completion"),
    ("org/b: { prompt: '1', completion: '1' }", "org/b", "cached"),
    ("org/b: { cached: '1', completion: '1' }", "org/b", "prompt"),
    ("org/b: { prompt: '1', cached: '1', completion: '1', image: '1' }", "org/b", "image"),
    ("org/b: { prompt: '1', cached: '1', completion: '1', prompt: '1' }", "org/b", "prompt"),
    ("org/b: { prompt: '1', cached: '1', completion: '1', 'prompt': '1' }", "org/b", "prompt"),
    ("org/b: { prompt: '1', cached: '1', completion: '1', Prompt: '1' }", "org/b", "Prompt"),
    ("org/b: { prompt: '1', cached: '1', completion: '1', ? : '1' }", "org/b", ""),
    (f"org/a: {RATES}", "org/a", None),
    (f"'org/a': {RATES}", "org/a", None),
    (f'"org\\u002Fa": {RATES}', "org/a", None),
    (f"ft:b: {RATES}", "ft:b", None),
    (f"'ft:': {RATES}", "ft:", None),
    (f"'': {RATES}", "", None),
    (f"' org/b': {RATES}", " org/b", None),
    (f"'org/b ': {RATES}", "org/b ", None),
    (f'"org/b\\n": {RATES}', "org/b\n", None),
    (f'"org\\0b": {RATES}', "org\0b", None),
    (f'"org\\u200bb": {RATES}', "org\u200bb", None),
    (f'"org\\u202eb": {RATES}', "org\u202eb", None),
    (f"{'x' * 257}: {RATES}", "x" * 257, None),
    (f"[org/b]: {RATES}", None, None),
    (f"{{ org/b: x }}: {RATES}", None, None),
    (f"<<: {RATES}", None, None),
    (f"org/b: &price {RATES}", None, None),
    (f"&name org/b: {RATES}", None, None),
    (f"org/b: !!map {RATES}", None, None),
    (f"!!str org/b: {RATES}", None, None),
    ("org/b: *price", None, None),
    (f"org/b: !!python/object/apply:os.system {RATES}", None, None),
    (f"org/b: !include {RATES}", None, None),
    ("org/b: { prompt: !!str '1', cached: '1', completion: '1' }", None, None),
    ("org/b: { prompt: !!float '1', cached: '1', completion: '1' }", None, None),
    ("org/b: { prompt: !!binary '1', cached: '1', completion: '1' }", None, None),
    ("org/b: { prompt: ! '1', cached: '1', completion: '1' }", None, None),
]
# Below fine_tunes: the same.
NOT_FINE_TUNES = [
    ("ft:x:", "ft:x", None),
    ("ft:x: org/a", "ft:x", None),
    ("ft:x: {}", "ft:x", None),
    ("ft:x: []", "ft:x", None),
    (f"ft:x: {{ derived_from: org/a, rate: {RATES} }}", "ft:x", None),
    ("ft:x: { derived_from: }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: [org/a] }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: org/nowhere }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: ORG/A }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: 'org/a ' }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: 'ft:x' }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: 'ft:other' }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: org/a, derived_from: org/a }", "ft:x", "derived_from"),
    ("ft:x: { derived_from: org/a, premium: '1' }", "ft:x", "premium"),
    ("ft:x: { rate: }", "ft:x", "rate"),
    ("ft:x: { rate: '1' }", "ft:x", "rate"),
    ("ft:x: { rate: { prompt: '1', cached: '1' } }", "ft:x", "rate.completion"),
    ("ft:x: { rate: { prompt: 1, cached: '1', completion: '1' } }", "ft:x", "rate.prompt"),
    ("x: { derived_from: org/a }", "x", None),
    ("FT:x: { derived_from: org/a }", "FT:x", None),
    ("'ft:x ': { derived_from: org/a }", "ft:x ", None),
    (f"'ft:{'x' * 254}': {{ derived_from: org/a }}", f"ft:{'x' * 254}", None),
]
# Below gpu_floor_rates: what is written, and the field.
NOT_FLOOR_RATES = [
    ("H100:", "gpu_floor_rates.H100"),
    ("H100: 1", "gpu_floor_rates.H100"),
    ("H100: '-1'", "gpu_floor_rates.H100"),
    ("H100: { hour: '1' }", "gpu_floor_rates.H100"),
    ("'': '1'", "gpu_floor_rates."),
    ("' H100': '1'", "gpu_floor_rates. H100"),
]
# Whole files.
NOT_FILES: list[tuple[str, Place]] = [
    ("", WHOLE_FILE),
    ("\n\n", WHOLE_FILE),
    ("# only words\n", WHOLE_FILE),
    ("---\n", (2, None, None)),
    ("...\n", ANY_LINE_1),
    ("null\n", ANY_LINE_1),
    ("version\n", ANY_LINE_1),
    ("'version: 1'\n", ANY_LINE_1),
    ("[]\n", ANY_LINE_1),
    ("- version: 1\n", ANY_LINE_1),
    ("{ version: 1\n", (2, None, None)),
    ("version: 1\n", (1, None, "base_models")),
    ("version: 1\nbase_models:\n", (2, None, "base_models")),
    ("version: 1\nbase_models: {}\n", (2, None, "base_models")),
    ("version: 1\nbase_models: []\n", (2, None, "base_models")),
    ("version: 1\nbase_models: all\n", (2, None, "base_models")),
    (MINIMAL.removeprefix("version: 1\n"), (1, None, "version")),
    (MINIMAL + "version: 1\n", (4, None, "version")),
    (MINIMAL + "'version': 1\n", (4, None, "version")),
    (MINIMAL + "Version: 1\n", (4, None, "Version")),
    (MINIMAL + "versi\u043en: 1\n", (4, None, "versi\u043en")),
    (MINIMAL + "currency: USD\n", (4, None, "currency")),
    (MINIMAL + "1: 1\n", (4, None, "1")),
    (MINIMAL + "no: 1\n", (4, None, "no")),
    (MINIMAL + "2026-12-01: 1\n", (4, None, "2026-12-01")),
    (MINIMAL + "~: 1\n", (4, None, "~")),
    (MINIMAL + ": 1\n", (4, None, None)),
    (MINIMAL + "fine_tunes:\n", (4, None, "fine_tunes")),
    (MINIMAL + "fine_tunes: []\n", (4, None, "fine_tunes")),
    (MINIMAL + "gpu_floor_rates:\n", (4, None, "gpu_floor_rates")),
    (MINIMAL + "gpu_floor_rates: '1'\n", (4, None, "gpu_floor_rates")),
    (MINIMAL + "---\n" + MINIMAL, (4, None, None)),
    (MINIMAL + "...\n---\n", (5, None, None)),
    (MINIMAL + "\tx: 1\n", (4, None, None)),
    (MINIMAL + "x: [\n", (5, None, None)),
    (MINIMAL + "x: 'open", (4, None, None)),
    (MINIMAL + 'x: "\\q"\n', (4, None, None)),
    (MINIMAL + "x: @a\n", (4, None, None)),
    (MINIMAL + "x: `a`\n", (4, None, None)),
    (MINIMAL + "x: %a\n", (4, None, None)),
    (MINIMAL + " x: 1\n", (4, None, None)),
    (MINIMAL + "x: 1: 2\n", (4, None, None)),
    (MINIMAL + "x: a\ny\n", (6, None, None)),
    (MINIMAL + "# \x01\n", (4, None, None)),
    (MINIMAL + "# \x7f\n", (4, None, None)),
    (MINIMAL + "\0", (4, None, None)),
    (MINIMAL + "# é \x1b[31m\n", (4, None, None)),
    ("%YAML 2.0\n---\n" + MINIMAL, (1, None, None)),
    ("%YAML 1.1\n%YAML 1.1\n---\n" + MINIMAL, (2, None, None)),
    ("&book\n" + MINIMAL, (1, None, None)),
    ("!!map\n" + MINIMAL, (1, None, None)),
    ("[" * 100_000, (1, None, None)),
    ("{a: " * 100_000, (1, None, None)),
    ("- " * 100_000, (1, None, None)),
    ("? " * 100_000, (1, None, None)),
    (MINIMAL + "x: " + "[" * 11 + "]" * 11 + "\n", (4, None, None)),
]


def malformed_files() -> Iterator[Malformed]:
    """Make all of them."""
    for written in NOT_RATES:
        # In lines of its own, so that a block of text can stand there.
        text = f"version: 1\nbase_models:\n  org/b:\n    prompt: {written}\n    cached: '0'\n"
        text += "    completion: '0'\n"
        yield Malformed(text, (4, "org/b", "prompt"))
    for written in NOT_VERSIONS:
        yield Malformed(MINIMAL.replace("version: 1", f"version: {written}"), (1, None, "version"))
    for written in NOT_HOURS:
        yield Malformed(f"{MINIMAL}effective_from: {written}\n", (4, None, "effective_from"))
    for written, field in NOT_PREMIUMS:
        yield Malformed(f"{MINIMAL}fine_tune_premium: {written}\n", (4, None, field))
    for written, model, part in NOT_MODELS:
        yield Malformed(f"{MINIMAL}  {written}\n", (4, model, part))
    for written, model, part in NOT_FINE_TUNES:
        yield Malformed(f"{MINIMAL}fine_tunes:\n  {written}\n", (5, model, part))
    for written, field in NOT_FLOOR_RATES:
        yield Malformed(f"{MINIMAL}gpu_floor_rates:\n  {written}\n", (5, None, field))
    for text, place in NOT_FILES:
        yield Malformed(text, place)
