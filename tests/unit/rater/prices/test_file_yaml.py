import pytest
import yaml

from rater_service.prices import file_yaml as price_yaml
from rater_service.prices.faults import Fault
from rater_service.prices.file import PriceFileError, parse_price_file
from rater_service.prices.file_yaml import Entry, Mapping, Node, Refused, Scalar, Sequence, read_tree

MINIMAL = """\
version: 1
base_models:
  org/a: { prompt: "0.000000200", cached: "0", completion: "0.000000600" }
"""


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure Python":
        monkeypatch.setattr(price_yaml, "_LOADER", yaml.SafeLoader)


def tree(text: str) -> Node | None:
    faults: list[Fault] = []
    root = read_tree(text, faults)
    assert faults == []
    return root


def only_fault(content: str | bytes) -> Fault:
    with pytest.raises(PriceFileError) as refused:
        parse_price_file(content if isinstance(content, bytes) else content.encode(), "file")
    (fault,) = refused.value.faults
    return fault


def test_every_key_and_value_knows_its_line_and_whether_it_was_quoted() -> None:
    braces = Mapping((Entry("y", Scalar("z", quoted=False, line=5), line=5),), line=5)
    assert tree("a: 1\n\n'b':\n  c: \"2\"\n  c: [x, {y: z}]\n") == Mapping(
        (
            Entry("a", Scalar("1", quoted=False, line=1), line=1),
            Entry(
                "b",
                Mapping(
                    (
                        Entry("c", Scalar("2", quoted=True, line=4), line=4),
                        Entry("c", Sequence((Scalar("x", quoted=False, line=5), braces), line=5), line=5),
                    ),
                    line=4,
                ),
                line=3,
            ),
        ),
        line=1,
    )


@pytest.mark.parametrize("block", ["|", ">", "|-"])
def test_a_block_of_text_is_not_quoted(block: str) -> None:
    root = tree(f"a: {block}\n  1\n")

    assert isinstance(root, Mapping)
    value = root.entries[0].value
    assert isinstance(value, Scalar)
    assert value.text.strip() == "1"
    assert not value.quoted


@pytest.mark.parametrize(
    "text",
    [
        MINIMAL.replace("\n", "\r\n"),
        "\ufeff" + MINIMAL,
        "%YAML 1.1\n---\n" + MINIMAL + "...\n",
        MINIMAL.replace('"', "'"),
        MINIMAL.replace("version", '"version"'),
    ],
)
def test_ways_of_writing_the_same_price_file_mean_the_same(text: str) -> None:
    one, other = (parse_price_file(content.encode(), "file").book for content in (text, MINIMAL))

    assert one.base_models == other.base_models


@pytest.mark.parametrize(
    ("content", "line", "words"),
    [
        ("", None, "empty"),
        ("# only a comment\n", None, "empty"),
        ("---\n", 2, "mapping"),
        ("- 1\n- 2\n", 1, "mapping"),
        ("just text", 1, "mapping"),
        (MINIMAL + "x: [\n", 5, "not YAML"),
        (MINIMAL + "x: 'open", 4, "not YAML"),
        (MINIMAL + "\tx: 1\n", 4, "not YAML"),
        (MINIMAL + "# \x01", 4, "control character (U+0001)"),
        ("é: é\né: é\n\x01", 3, "control character (U+0001)"),
        ("version: 1\nb", 2, "not YAML"),
        ('x: "\\U00110000"', 1, "not YAML"),
        (MINIMAL + "---\n" + MINIMAL, 4, "second document"),
        (MINIMAL.replace("version: 1", "version: &v 1"), 1, "anchor"),
        (MINIMAL.replace("1\n", "!!int 1\n", 1), 1, "tag"),
        (MINIMAL + "  <<: { org/b: 1 }\n", 4, "merge key"),
        (MINIMAL + "  [a]: 1\n", 4, "key"),
        (MINIMAL + "  org/b: *nowhere\n", 4, "alias"),
        ("[" * 100_000, 1, "too deep"),
        ("{a: " * 100_000, 1, "too deep"),
        (b"version: 1\n\xff", 2, "UTF-8"),
        (MINIMAL.encode("utf-16"), 1, "UTF-8"),
        (b" " * (16 * 1024 * 1024 + 1), None, "larger than 16,777,216 bytes"),
    ],
)
def test_a_file_that_is_no_plain_yaml_is_refused_with_the_line(
    content: str | bytes, line: int | None, words: str
) -> None:
    fault = only_fault(content)

    assert fault.line == line
    assert words in fault.message


def test_a_file_with_more_than_can_be_checked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(price_yaml, "_NODES_MAX", 13)
    assert tree("\n".join(f"k{number}:" for number in range(6))) is not None

    fault = only_fault("\n".join(f"k{number}:" for number in range(7)))

    assert (fault.line, fault.message) == (7, "more than 13 keys and values are too many")


def test_of_very_many_faults_the_first_are_written_and_the_others_counted() -> None:
    faults = tuple(Fault(line, None, None, "message") for line in range(1, 1_003))

    written = str(PriceFileError("file", faults)).splitlines()

    assert (written[0], written[-2:]) == ("file: 1002 faults", ["  line 1000: message", "  and 2 more"])


def test_aliases_are_refused_and_never_followed() -> None:
    pairs = zip("abcdefgh", "bcdefghi", strict=True)
    bomb = "a: &a [x, x]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in pairs)
    faults: list[Fault] = []
    root = read_tree(bomb + "j: *i\n", faults)

    assert isinstance(root, Mapping)
    assert root.entries[-1].value == Refused(line=10)
    assert sum("alias" in fault.message for fault in faults) == 17
    assert sum("anchor" in fault.message for fault in faults) == 9


def test_a_fault_is_one_short_printable_line_whatever_the_file_calls_things() -> None:
    written = str(Fault(3, 'a"b\n\x1b[31m\u202e\ud800' + "x" * 500, None, "message"))

    assert written.isprintable()
    assert len(written) < 200
