from datetime import UTC, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path

import pytest

from rater_service.money import Rates
from rater_service.prices.file import Fault, LoadedPriceFile, PriceFileError, parse_price_file
from rater_service.prices.pricebook import DerivedFineTune, Identity, Markup, Multiplier, OwnRateFineTune

EXAMPLE = Path(__file__).parents[4] / "prices" / "example.yaml"

MINIMAL = """\
version: 1
base_models:
  org/a: { prompt: "0.000000200", cached: "0", completion: "0.000000600" }
"""


def load(text: str | bytes) -> LoadedPriceFile:
    return parse_price_file(text if isinstance(text, bytes) else text.encode(), "prices.yaml")


def faults(text: str | bytes) -> tuple[Fault, ...]:
    with pytest.raises(PriceFileError) as refused:
        load(text)
    return refused.value.faults


def only_fault(text: str | bytes) -> Fault:
    found = faults(text)
    assert len(found) == 1, found
    return found[0]


def with_rate(written: str) -> str:
    return MINIMAL.replace('"0.000000200"', written)


def with_premium(premium: str) -> str:
    return f"{MINIMAL}fine_tune_premium: {premium}\n"


def with_fine_tune(fine_tune: str) -> str:
    return f"{MINIMAL}fine_tunes:\n  {fine_tune}\n"


def test_a_price_file_becomes_a_price_book() -> None:
    text = f"""{MINIMAL}\
fine_tune_premium: {{ policy: multiplier, factor: "1.5" }}
fine_tunes:
  "ft:derived": {{ derived_from: org/a }}
  "ft:own": {{ rate: {{ prompt: "1", cached: "2", completion: "3" }} }}
gpu_floor_rates: {{ "H100-80GB": "0.000000000" }}
effective_from: "2026-12-01T00:00:00Z"
"""
    book = load(text).book

    assert book.base_models == {"org/a": Rates(Decimal("0.0000002"), Decimal(0), Decimal("0.0000006"))}
    assert book.fine_tunes == {
        "ft:derived": DerivedFineTune("org/a"),
        "ft:own": OwnRateFineTune(Rates(Decimal(1), Decimal(2), Decimal(3))),
    }
    assert book.premium == Multiplier(Decimal("1.5"))
    assert book.gpu_floor_rates == {"H100-80GB": Decimal(0)}
    assert book.effective_from == datetime(2026, 12, 1, tzinfo=UTC)
    assert book.content == text.encode()
    assert book.content_hash == sha256(text.encode()).hexdigest()


def test_everything_but_version_and_base_models_may_be_left_out() -> None:
    loaded = load(MINIMAL)

    assert loaded.warnings == ()
    assert loaded.book.premium == Identity()
    assert (loaded.book.fine_tunes, loaded.book.gpu_floor_rates) == ({}, {})
    assert loaded.book.effective_from is None


def test_the_example_price_file_loads_without_warnings() -> None:
    loaded = load(EXAMPLE.read_bytes())

    assert loaded.warnings == ()
    assert {type(fine_tune) for fine_tune in loaded.book.fine_tunes.values()} == {
        DerivedFineTune,
        OwnRateFineTune,
    }


def test_the_commented_out_hour_of_the_example_is_valid() -> None:
    text = EXAMPLE.read_text().replace("# effective_from", "effective_from")

    assert load(text).book.effective_from == datetime(2026, 12, 1, tzinfo=UTC)


def test_all_faults_are_listed_in_the_order_of_their_lines() -> None:
    text = """\
version: 2
base_models:
  org/a: { prompt: 0.1, cached: "0", completion: "1e-7" }
  org/a: { prompt: "0", cached: "0", completion: "0" }
  ft:b: { prompt: "0", cached: "0", completion: "0" }
fine_tunes:
  ft:c: { derived_from: org/nowhere }
surprise: true
"""
    found = faults(text)

    assert [(fault.line, fault.model, fault.field) for fault in found] == [
        (1, None, "version"),
        (3, "org/a", "prompt"),
        (3, "org/a", "completion"),
        (4, "org/a", None),
        (5, "ft:b", None),
        (7, "ft:c", "derived_from"),
        (8, None, "surprise"),
    ]


def test_the_error_names_the_file_and_puts_each_fault_on_a_line_of_its_own() -> None:
    with pytest.raises(PriceFileError) as refused:
        load(with_rate("0.1").replace("version: 1", "version: 2"))

    assert str(refused.value).splitlines() == [
        "prices.yaml: 2 faults",
        '  line 1, "version": the version must be 1, without quotes',
        '  line 3, "org/a", "prompt": 0.1 is not quoted; write "0.1"',
    ]


@pytest.mark.parametrize("version", ['"1"', "2", "1.0", "01", "one", "", "[1]", "{}"])
def test_another_version_is_refused(version: str) -> None:
    assert only_fault(MINIMAL.replace("version: 1", f"version: {version}")).field == "version"


@pytest.mark.parametrize("key", ["version", "base_models"])
def test_a_missing_section_is_named(key: str) -> None:
    other = {"version": MINIMAL.removeprefix("version: 1\n"), "base_models": "version: 1\n"}
    fault = only_fault(other[key])

    assert (fault.field, fault.message) == (key, "is missing")


@pytest.mark.parametrize("text", ["version: 1\nbase_models: {}\n", "version: 1\nbase_models:\n"])
def test_a_file_without_base_models_is_refused(text: str) -> None:
    assert only_fault(text).field == "base_models"


def test_a_rate_that_rounds_to_zero_is_refused_by_name() -> None:
    fault = only_fault(with_rate('"0.0000000001"'))

    assert (fault.line, fault.model, fault.field) == (3, "org/a", "prompt")
    assert "0.0000000001" in fault.message
    assert "rounds to zero" in fault.message


@pytest.mark.parametrize("written", ['"0"', '"0.000000000"', '"0.000000000000"'])
def test_a_literal_zero_is_a_free_rate(written: str) -> None:
    loaded = load(with_rate(written))

    assert loaded.book.base_models["org/a"].prompt == 0
    assert loaded.warnings == ()


@pytest.mark.parametrize("component", ["prompt", "cached", "completion"])
def test_a_missing_component_is_named(component: str) -> None:
    found = faults(MINIMAL.replace(f" {component}: ", f" {component}s: "))

    assert [(fault.model, fault.field) for fault in found] == [
        ("org/a", f"{component}s"),
        ("org/a", component),
    ]


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        (MINIMAL + "fine_tune: {}\n", 4, "fine_tune"),
        (MINIMAL.replace("cached", "input: '1', cached"), 3, "input"),
        (with_fine_tune("ft:x: { derived_from: org/a, note: hello }"), 5, "note"),
        (with_premium("{ policy: identity, amount: '1' }"), 4, "fine_tune_premium.amount"),
        (
            with_fine_tune("ft:x: { rate: { prompt: '1', cached: '1', completion: '1', x: '1' } }"),
            5,
            "rate.x",
        ),
    ],
)
def test_an_unknown_key_is_refused_everywhere(text: str, line: int, field: str) -> None:
    fault = only_fault(text)

    assert (fault.line, fault.field) == (line, field)
    assert "unknown key" in fault.message


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (MINIMAL + "version: 1\n", 4),
        (MINIMAL + "  org/a: { prompt: '1', cached: '1', completion: '1' }\n", 4),
        (MINIMAL.replace("cached", "prompt: '1', cached"), 3),
        (with_fine_tune("ft:x: { derived_from: org/a }\n  'ft:x': { derived_from: org/a }"), 6),
        (MINIMAL + 'gpu_floor_rates:\n  H100: "0"\n  "H100": "0"\n', 6),
    ],
)
def test_a_key_that_stands_twice_is_refused_everywhere(text: str, line: int) -> None:
    fault = only_fault(text)

    assert fault.line == line
    assert "again, first on line" in fault.message


@pytest.mark.parametrize("name", ['""', '" org/a"', '"org/a "', '"org\\ta"', '"a\\0b"', "x" * 257])
def test_a_name_no_engine_could_report_is_refused(name: str) -> None:
    key = f"? {name}\n  :" if len(name) > 128 else f"{name}:"  # YAML bounds the length of simple keys
    fault = only_fault(MINIMAL + f"  {key} {{ prompt: '1', cached: '1', completion: '1' }}\n")

    assert fault.line == 4
    assert "name" in fault.message


def test_a_name_of_256_characters_is_accepted() -> None:
    load(MINIMAL + f"  ? {'x' * 256}\n  : {{ prompt: '1', cached: '1', completion: '1' }}\n")


def test_a_fine_tune_under_base_models_is_refused() -> None:
    fault = only_fault(MINIMAL + "  ft:x: { prompt: '1', cached: '1', completion: '1' }\n")

    assert (fault.line, fault.model) == (4, "ft:x")


@pytest.mark.parametrize(
    ("fine_tune", "model", "words"),
    [
        ("ft:x: {}", "ft:x", "neither derived_from nor rate"),
        (
            "ft:x: { derived_from: org/a, rate: { prompt: '1', cached: '1', completion: '1' } }",
            "ft:x",
            "both derived_from and rate",
        ),
        ("ft:x: { derived_from: org/nowhere }", "ft:x", "not one of base_models"),
        ("ft:x: { derived_from: '' }", "ft:x", "not one of base_models"),
        ("ft:x: { derived_from: [org/a] }", "ft:x", "single value"),
        ("ft:x: org/a", "ft:x", "mapping"),
        ("x: { derived_from: org/a }", "x", 'starts with "ft:"'),
    ],
)
def test_a_fine_tune_that_names_no_price_is_refused(fine_tune: str, model: str, words: str) -> None:
    fault = only_fault(with_fine_tune(fine_tune))

    assert (fault.line, fault.model) == (5, model)
    assert words in fault.message


@pytest.mark.parametrize(
    "base", ["{ derived_from: org/a }", "{ rate: { prompt: '1', cached: '1', completion: '1' } }"]
)
def test_a_fine_tune_is_no_base_with_or_without_its_own_rate(base: str) -> None:
    fault = only_fault(with_fine_tune(f"ft:base: {base}\n  ft:x: {{ derived_from: ft:base }}"))

    assert (fault.line, fault.model) == (6, "ft:x")
    assert "is a fine-tune" in fault.message


def test_a_base_whose_own_rates_are_faulty_is_reported_once() -> None:
    fault = only_fault(with_rate("oops") + "fine_tunes: { ft:x: { derived_from: org/a } }\n")

    assert fault.model == "org/a"


@pytest.mark.parametrize(
    ("premium", "field"),
    [
        ("{}", "policy"),
        ("{ policy: double }", "policy"),
        ("{ policy: [] }", "policy"),
        ("{ policy: identity, factor: '1' }", "factor"),
        ("{ policy: multiplier }", "factor"),
        ("{ policy: multiplier, markup: '1', factor: '1' }", "markup"),
        ("{ policy: multiplier, factor: 1.5 }", "factor"),
        ("{ policy: multiplier, factor: '-1' }", "factor"),
        ("{ policy: multiplier, factor: '1000.1' }", "factor"),
        ("{ policy: markup }", "markup"),
        ("{ policy: markup, markup: '1', factor: '1' }", "factor"),
        ("{ policy: markup, markup: '1e-7' }", "markup"),
    ],
)
def test_a_premium_whose_parameters_do_not_fit_its_policy_is_refused(premium: str, field: str) -> None:
    fault = only_fault(with_premium(premium))

    assert (fault.line, fault.field) == (4, f"fine_tune_premium.{field}")


def test_an_identity_premium_can_be_written_out() -> None:
    assert load(with_premium("{ policy: identity }")).book.premium == Identity()


def test_a_factor_that_zeroes_a_rate_is_refused_for_every_rate_it_zeroes() -> None:
    text = f"""{with_rate('"0.000000004"')}\
  org/b: {{ prompt: "1", cached: "0.000000001", completion: "0.000000005" }}
fine_tune_premium: {{ policy: multiplier, factor: "0.1" }}
"""
    found = faults(text)

    assert [(fault.line, fault.model, fault.field) for fault in found] == [
        (3, "org/a", "prompt"),
        (4, "org/b", "cached"),
    ]
    assert "multiplier 0.1" in found[0].message


def test_a_factor_of_zero_is_harmless_only_where_everything_is_free() -> None:
    free = MINIMAL.replace("0.000000200", "0").replace("0.000000600", "0")
    premium = "fine_tune_premium: { policy: multiplier, factor: '0' }\n"

    load(free + premium)
    assert {fault.field for fault in faults(MINIMAL + premium)} == {"prompt", "completion"}


def test_a_markup_is_exact_however_small() -> None:
    loaded = load(with_premium("{ policy: markup, markup: '0.0000000004' }"))

    assert loaded.book.premium == Markup(Decimal("0.0000000004"))


def test_rates_that_lose_by_rounding_are_warned_of() -> None:
    (warning,) = load(with_rate('"0.0000000015"')).warnings

    assert (warning.line, warning.model, warning.field) == (3, "org/a", "prompt")
    assert "0.0000000015 is billed as 0.000000002" in warning.message


def test_rates_that_lose_by_rounding_after_the_premium_are_warned_of() -> None:
    text = with_rate('"0.000000001"') + "fine_tune_premium: { policy: multiplier, factor: '1.5' }\n"
    (warning,) = load(text).warnings

    assert (warning.line, warning.model, warning.field) == (3, "org/a", "prompt")
    assert "after the premium (multiplier 1.5)" in warning.message


def test_a_loss_of_a_thousandth_or_less_is_not_warned_of() -> None:
    assert load(with_rate('"0.0000010005"')).warnings == ()


@pytest.mark.parametrize(
    ("rate", "words"),
    [('"0.0000000001"', "rounds to zero"), ("0.5", "not quoted"), ("{}", "single value")],
)
def test_gpu_floor_rates_are_checked_like_rates(rate: str, words: str) -> None:
    fault = only_fault(MINIMAL + f"gpu_floor_rates: {{ H100: {rate} }}\n")

    assert (fault.line, fault.field) == (4, "gpu_floor_rates.H100")
    assert words in fault.message


@pytest.mark.parametrize(
    "section", ["fine_tunes", "gpu_floor_rates", "fine_tune_premium", "base_models.org/b"]
)
@pytest.mark.parametrize("value", ["", "text", "[]"])
def test_a_section_that_is_not_a_mapping_is_refused(section: str, value: str) -> None:
    name = section.removeprefix("base_models.")
    indent = "  " if name != section else ""

    assert "mapping" in only_fault(f"{MINIMAL}{indent}{name}: {value}\n").message
