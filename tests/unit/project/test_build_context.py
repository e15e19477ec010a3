"""Each image can be built of what Docker is sent: .dockerignore leaves out nothing that a Dockerfile copies.

The examples of rules are those of moby/patternmatcher's own tests.
"""

from pathlib import Path, PurePosixPath

import pytest

from tests.harness.build_context import copied_sources, copy_context, files_sent, is_ignored, read_rules

PROJECT = Path(__file__).parents[3]


def ignored(rules: str, path: str) -> bool:
    return is_ignored(read_rules(rules), PurePosixPath(path))


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [
        ("**", "dir/file", True),
        ("**/", "file", True),
        ("**/**", "dir/file", True),
        ("dir/**", "dir/dir2/file", True),
        ("abc/**", "abc", False),
        ("**/dir", "dir", True),
        ("**/dir", "dir/file", True),
        ("**/dir", "a/b/dir/c/file", True),
        ("**/dir2/*", "dir/dir2/file", True),
        ("**/dir2/**", "dir/dir2/dir3/file", True),
        ("**/file", "dir/dir/file", True),
        ("**/.foo", "bar.foo", False),
        ("**/**/*.txt", "dir/dir/file.txt", True),
        ("**/**/*.txt2", "dir/dir/file.txt", False),
        ("**/*.txt", "file.txt", True),
        ("a/*.txt", "a/dir/file.txt", False),
        ("a/*.txt", "a/file.txt", True),
        (".*", ".foo", True),
        (".*", "foo", False),
        ("abc.def", "abcZdef", False),
        ("abc?def", "abcZdef", True),
        ("abc?def", "abcdef", False),
        ("a?b", "a/b", False),
        ("a*b", "a/b", False),
        ("a*/b", "abc/b", True),
        ("a*/b", "a/c/b", False),
        ("a(b)c/def", "a(b)c/def", True),
        ("a.|)$(}+{bc", "a.|)$(}+{bc", True),
        ("docs", "docs/README.md", True),
        ("docs/", "docs/README.md", True),
        ("/docs/./a/../", "docs/README.md", True),
        ("docs", "Docs/README.md", False),
        ("README.md", "docs/README.md", False),
        (".", "file", False),
        ("# docs", "docs/README.md", False),
        ("", "file", False),
    ],
)
def test_a_pattern_ignores_what_docker_ignores(pattern: str, path: str, expected: bool) -> None:
    assert ignored(pattern, path) is expected


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("!file.go\n*.go", "file.go", True),
        ("*.go\n!file.go", "file.go", False),
        ("docs/*\n ! /docs/README.md ", "docs/README.md", False),
        ("**\n!util/docker/web", "util/docker/web/foo", False),
        ("**\n!util/docker/web\nutil/docker/web/foo", "util/docker/web/foo", True),
        ("*\n!dir\n**/__pycache__", "dir/a/b/__pycache__/c.pyc", True),
    ],
)
def test_the_last_rule_that_names_a_file_decides(rules: str, path: str, expected: bool) -> None:
    assert ignored(rules, path) is expected


@pytest.mark.parametrize("pattern", ["!", "a[b-d]e", r"a\*b", "a**/c"])
def test_a_pattern_that_could_be_read_wrongly_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="pattern"):
        read_rules(pattern)


def test_a_dockerfile_with_rules_of_its_own_has_only_those(tmp_path: Path) -> None:
    for name, text in ((".dockerignore", "b"), ("Dockerfile.x.dockerignore", "a"), ("a", ""), ("b", "")):
        (tmp_path / name).write_text(text)

    assert PurePosixPath("b") in set(files_sent(tmp_path, "Dockerfile.x"))
    assert PurePosixPath("a") not in set(files_sent(tmp_path, "Dockerfile.x"))
    assert PurePosixPath("a") in set(files_sent(tmp_path, "Dockerfile.y"))


def test_a_file_is_found_in_a_folder_that_is_ignored_but_for_it(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n!a/b/c.txt\n!**/d.txt")
    for name in ("a/b/c.txt", "a/b/x.txt", "e/f/d.txt", "e/f/x.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert set(map(str, files_sent(tmp_path, "Dockerfile"))) == {"a/b/c.txt", "e/f/d.txt"}


def test_what_comes_from_another_stage_is_not_copied_from_the_context() -> None:
    text = "FROM x\nCOPY a b/c ./\nCOPY --chown=me d /d\nCOPY --from=build /opt /opt\n"
    assert copied_sources(text) == ["a", "b/c", "d"]


@pytest.mark.parametrize("name", ["Dockerfile.addon", "Dockerfile.demo", "Dockerfile.rater"])
def test_whatever_an_image_copies_is_sent_to_the_builder(name: str, tmp_path: Path) -> None:
    copy_context(PROJECT, name, tmp_path)

    sources = copied_sources((PROJECT / name).read_text())
    assert len(sources) > 3
    assert [source for source in sources if not (tmp_path / source).exists()] == []


@pytest.mark.parametrize("name", ["Dockerfile.addon", "Dockerfile.rater"])
def test_nothing_that_no_image_copies_is_sent_to_the_builder(name: str) -> None:
    copied = {
        PurePosixPath(source)
        for dockerfile in ("Dockerfile.addon", "Dockerfile.rater")
        for source in copied_sources((PROJECT / dockerfile).read_text())
    }
    strays = [path for path in files_sent(PROJECT, name) if not copied & {path, *path.parents}]
    assert strays == []
