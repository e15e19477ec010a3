"""What releases of mitmproxy do at the places that `phoebe_addon.proxy.insides` lists.

`record` writes a digest of each place of the installed releases beside those of others; `record VERSION …` of
releases of mitmproxy from the package index. `diff FROM TO` shows how two releases of mitmproxy differ there.
docs/mitmproxy.md says when to use which.
"""

import ast
import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import io
import json
import subprocess
import sys
import tempfile
import tokenize
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypedDict

from phoebe_addon.proxy.insides import INSIDES, SUPPORTED, Inside, Kind

RECORD = Path(__file__).with_suffix(".json")
PROXY = Path(__file__).resolve().parents[2] / "addon" / "phoebe_addon" / "proxy"

type Sources = Callable[[str], str]
"""Reads the source of a module, by its name."""

_LAYOUT = frozenset((tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER))


def code_places(package: str) -> Iterator[Inside]:
    """List the places of a package that are code: not attributes."""
    return (
        each
        for each in INSIDES
        if each.kind is not Kind.READ and each.place.split(":")[0].startswith(package)
    )


def installed_source(module: str) -> str:
    """Read the source of an installed module."""
    spec = importlib.util.find_spec(module)
    assert spec
    assert spec.origin
    return Path(spec.origin).read_text("utf-8")


def digests(package: str, sources: Sources = installed_source) -> dict[str, str]:
    """Return a digest of the code at each place of a package."""
    return {
        each.place: hashlib.sha256(normalized(source_at(each.place, sources)).encode()).hexdigest()[:16]
        for each in code_places(package)
    }


@functools.cache
def _parsed(text: str) -> ast.Module:
    return ast.parse(text)


type _Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITIONS = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def source_at(place: str, sources: Sources = installed_source) -> str:
    """Return the source of a class or a function: of a class without the methods that are places themselves.

    Raises LookupError if there is none at the place.
    """
    module, _, names = place.partition(":")
    text = sources(module)
    tree = _parsed(text)
    outermost, *inner = names.split(".")
    node = _defined(tree, outermost)
    if node is None:
        return source_at(f"{_origin(tree, module, outermost)}:{names}", sources)
    for name in inner:
        node = _defined(node, name)
        if node is None:
            raise LookupError(place)
    lines: list[str | None] = [*text.splitlines()]
    listed = {each.place for each in INSIDES}
    for child in node.body if isinstance(node, ast.ClassDef) else ():
        if isinstance(child, _DEFINITIONS) and f"{place}.{child.name}" in listed:
            first = _first_line(child)
            lines[first - 1 : child.end_lineno] = [None] * ((child.end_lineno or 0) - first + 1)
            lines[first - 1] = " " * child.col_offset + "pass"
    return "\n".join(line for line in lines[_first_line(node) - 1 : node.end_lineno] if line is not None)


def _first_line(node: _Definition) -> int:
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _defined(parent: ast.Module | _Definition, name: str) -> _Definition | None:
    definitions = (each for each in _statements(parent.body) if isinstance(each, _DEFINITIONS))
    return next((each for each in definitions if each.name == name), None)


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Yield statements, and those that stand below an `if`."""
    for each in body:
        yield each
        if isinstance(each, ast.If):
            yield from _statements(each.body)


def _origin(tree: ast.Module, module: str, name: str) -> str:
    """Return the module from which a module has a name. Relative imports are those of packages."""
    for each in tree.body:
        if isinstance(each, ast.ImportFrom) and name in {alias.name for alias in each.names}:
            return importlib.util.resolve_name("." * each.level + (each.module or ""), module)
    raise LookupError(f"{module}:{name}")


def normalized(source: str) -> str:
    """Return a source without comments, docstrings and layout: what it does, not how it looks."""
    indent = len(source) - len(source.lstrip())
    text = (
        "\n".join(line[indent:] if line[:indent].isspace() else line for line in source.splitlines()) + "\n"
    )
    docstrings = _docstring_lines(ast.parse(text))
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    return " ".join(
        tokenize.tok_name[token.type] if token.string.isspace() or not token.string else token.string
        for token in tokens
        if token.type not in _LAYOUT and (token.type == tokenize.INDENT or token.start[0] not in docstrings)
    )


def _docstring_lines(tree: ast.Module) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(
            node
        ):
            lines.update(range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1))
    return lines


def recorded(package: str, version: str) -> dict[str, str]:
    """Read the digests of a release that was tested. Raises LookupError if it was not."""
    for group in _groups().get(package, ()):
        if version in group["releases"]:
            return group["places"]
    raise LookupError(f"{package} {version}")


class _Group(TypedDict):
    """Releases that do the same at all places."""

    releases: list[str]
    places: dict[str, str]


def _groups() -> dict[str, list[_Group]]:
    groups: dict[str, list[_Group]] = json.loads(RECORD.read_text("utf-8")) if RECORD.exists() else {}
    return groups


def modules_with(name: str) -> list[str]:
    """List the modules of the proxy that mention a name."""
    return [path.name for path in sorted(PROXY.glob("*.py")) if f"{name}" in path.read_text("utf-8")]


def advice(each: Inside) -> str:
    """Say why a place matters, and what to read again when it has changed."""
    name = each.place.rpartition(".")[2].rpartition(":")[2]
    files = ", ".join(file for file in modules_with(name) if file != "insides.py") or "whatever relies on it"
    return f"{each.place}\n  {each.kind.value}: {each.why}\n  read again: {files}"


def record(package: str, version: str, sources: Sources = installed_source) -> None:
    """Write the digests of a release beside those of others."""
    groups = _groups()
    of_package = groups.setdefault(package, [])
    for group in of_package:
        group["releases"] = [release for release in group["releases"] if release != version]
    places = digests(package, sources)
    same = next((group for group in of_package if group["places"] == places), None)
    if same is None:
        of_package.append(_Group(releases=[version], places=places))
    else:
        same["releases"] = sorted({*same["releases"], version})
    groups[package] = [group for group in of_package if group["releases"]]
    RECORD.write_text(json.dumps(groups, indent=1, sort_keys=True) + "\n", "utf-8")


def _downloaded(package: str, version: str, folder: Path) -> Sources:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    subprocess.run([*command, "-d", str(folder), f"{package}=={version}"], check=True)
    (wheel,) = folder.glob(f"{package}-{version}-*.whl")

    def read(module: str) -> str:
        path = module.replace(".", "/")
        with zipfile.ZipFile(wheel) as archive:
            names = set(archive.namelist())
            found = next(name for name in (f"{path}.py", f"{path}/__init__.py") if name in names)
            return archive.read(found).decode()

    return read


def differences(package: str, old: Sources, new: Sources) -> Iterator[str]:
    """Tell how two releases differ at the places of a package: why each matters, and what has changed."""
    for each in code_places(package):
        before = source_at(each.place, old)
        try:
            after = source_at(each.place, new)
        except (LookupError, StopIteration):
            yield f"{advice(each)}\n  IT IS GONE, or stands elsewhere\n"
            continue
        if normalized(before) != normalized(after):
            lines = difflib.unified_diff(
                before.splitlines(), after.splitlines(), "before", "after", lineterm=""
            )
            yield "\n".join([advice(each), *lines, ""])


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    match arguments:
        case ["record"]:
            for package in SUPPORTED:
                record(package, importlib.metadata.version(package))
        case ["record", *versions]:
            for version in versions:
                with tempfile.TemporaryDirectory() as folder:
                    record("mitmproxy", version, _downloaded("mitmproxy", version, Path(folder)))
        case ["diff", old, new]:
            with tempfile.TemporaryDirectory() as folder:
                releases = [_downloaded("mitmproxy", version, Path(folder)) for version in (old, new)]
                for difference in differences("mitmproxy", *releases):
                    sys.stdout.write(f"{difference}\n")
        case _:
            sys.exit("record [VERSION ...], or diff FROM TO")


if __name__ == "__main__":
    main(sys.argv[1:])
