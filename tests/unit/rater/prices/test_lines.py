"""The lines of a price file that a price is traced to."""

from rater_service.prices.file import parse_price_file
from rater_service.prices.lines import PriceLine, lines_of
from rater_service.prices.resolution import Price, resolve

FILE = parse_price_file(
    b"""version: 1
base_models:
  # of the engine
  "org/a":
    prompt: "0.000000200"
    cached: "0"
    completion: "0.000000600"
  "org/b": { prompt: "0.000000200", cached: "0", completion: "0.000000600" }
fine_tune_premium:
  policy: multiplier
  factor: "1.5"
fine_tunes:
  "ft:a": { derived_from: "org/a" }
""",
    "prices.yaml",
)


def lines(model: str, base: str | None = None) -> tuple[PriceLine, ...]:
    price = resolve(FILE.book, model, base)
    assert isinstance(price, Price)
    return lines_of(FILE, model, price)


def test_a_price_stands_on_the_lines_of_its_model_of_its_base_and_of_the_premium() -> None:
    assert lines("org/a") == (
        PriceLine(4, '"org/a":'),
        PriceLine(5, 'prompt: "0.000000200"'),
        PriceLine(6, 'cached: "0"'),
        PriceLine(7, 'completion: "0.000000600"'),
    )
    assert [line.number for line in lines("org/b")] == [8]
    assert [line.number for line in lines("ft:a")] == [4, 5, 6, 7, 9, 10, 11, 13]
    assert [line.number for line in lines("ft:other", "org/b")] == [8, 9, 10, 11]


def test_a_very_long_line_is_cut() -> None:
    name = "x" * 200
    rest = '{ prompt: "0.000000200", cached: "0", completion: "0.000000600" }'
    file = parse_price_file(f'version: 1\nbase_models:\n  "{name}": {rest} # {"y" * 900}\n'.encode(), "p")
    price = resolve(file.book, name, None)
    assert isinstance(price, Price)
    (line,) = lines_of(file, name, price)
    assert len(line.text) == 400
