"""All that is relied on inside mitmproxy is listed, is there, and does what it did when it was tested."""

import ast
import importlib
import importlib.metadata
import inspect
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from phoebe_addon.proxy import guard, insides
from phoebe_addon.proxy.insides import INSIDES, SUPPORTED, Inside, InsidesError, Kind
from tests.harness.addon_in_mitmproxy import taddons
from tests.harness.released_insides import advice, code_places, digests, normalized, recorded, source_at

assert taddons  # imported first: what mitmproxy's addons import warns of its own old names
ROOT = Path(__file__).resolve().parents[4]
PROXY = ROOT / "addon" / "phoebe_addon" / "proxy"
MODULES = [
    importlib.import_module(f"phoebe_addon.proxy.{path.stem}")
    for path in sorted(PROXY.glob("*.py"))
    if path.stem != "__init__"
]
PLACES = {each.place for each in INSIDES}
INNARDS = ("mitmproxy.proxy", "h11", "h2")
NOT_INNARDS = {
    # What mitmproxy, h11 and h2 document.
    "mitmproxy.proxy.mode_servers:AsyncioServerInstance",
    *("mitmproxy.proxy.mode_specs", "h2.events", "h2.errors", "h11:Data", "h11:EndOfMessage"),
    # Names that stand in types and in isinstance only; what is used of them is listed.
    *("mitmproxy.proxy.layer:CommandGenerator", "mitmproxy.proxy.layer:Layer"),
    *("mitmproxy.proxy.context:Context", "mitmproxy.proxy.events:Event"),
    *("mitmproxy.proxy.events:ConnectionEvent", "mitmproxy.proxy.server:ConnectionHandler"),
    *("mitmproxy.proxy.server:TimeoutWatchdog", "mitmproxy.proxy.layers.http:HttpLayer"),
    *("mitmproxy.proxy.layers.http._base:HttpEvent", "mitmproxy.proxy.layers.http._base:ReceiveHttp"),
    "mitmproxy.proxy.layers.http._http1:TBodyReader",
    *("mitmproxy.proxy.layers.tls:TLSLayer", "mitmproxy.proxy.tunnel:TunnelLayer"),
    "mitmproxy.proxy.tunnel:TunnelState",
    *("h11._readers:ChunkedReader", "h11._receivebuffer:ReceiveBuffer"),
}


def our_classes() -> Iterator[type]:
    """Classes of the package that are built on one of mitmproxy's or h11's."""
    for module in MODULES:
        for each in vars(module).values():
            if inspect.isclass(each) and each.__module__ == module.__name__ and foreign_bases(each):
                yield each


def foreign_bases(owner: type) -> list[type]:
    return [base for base in owner.__mro__ if base.__module__.split(".")[0] in {"mitmproxy", "h11"}]


def test_the_installed_mitmproxy_has_everything() -> None:
    insides.check()


def test_what_is_missing_is_named_with_the_reason_and_what_is_supported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    http_layers = importlib.import_module("mitmproxy.proxy.layers.http")
    (mitmproxys,) = (base for base in guard.GuardedHttpStream.__mro__ if base.__name__ == "HttpStream")
    monkeypatch.setattr(http_layers, "HttpStream", mitmproxys)  # another test may have installed the guard
    monkeypatch.delattr(mitmproxys, "check_invalid")
    monkeypatch.delattr(importlib.import_module("mitmproxy.addonmanager"), "safecall")

    with pytest.raises(InsidesError) as raised:
        insides.check()

    message = str(raised.value)
    assert "HttpStream.check_invalid is missing (It is called for each head" in message
    assert "mitmproxy.addonmanager:safecall is missing" in message
    assert "Supported are mitmproxy 12.2, h11 0.16, h2 4.3" in message


@pytest.mark.parametrize("version", ["12.1.9", "12.3.0", "12.20.0", "13.0.0", "1.12.2"])
def test_another_release_of_mitmproxy_is_named(monkeypatch: pytest.MonkeyPatch, version: str) -> None:
    monkeypatch.setattr("mitmproxy.version.VERSION", version)

    with pytest.raises(InsidesError, match=f"mitmproxy is {re.escape(version)}"):
        insides.check()


def test_nothing_is_put_into_a_mitmproxy_that_was_not_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mitmproxy.version.VERSION", "13.0.0")
    before = [getattr(each.owner, each.name) for each in guard.replacements()]

    with pytest.raises(InsidesError):
        guard.install()

    assert [getattr(each.owner, each.name) for each in guard.replacements()] == before


def test_what_is_supported_is_what_may_be_installed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    requirements = [each.split(";")[0].strip() for each in project["optional-dependencies"]["addon"]]
    for name in ("mitmproxy", "h11"):
        major, minor = map(int, SUPPORTED[name].split("."))
        assert f"{name}>={major}.{minor},<{major}.{minor + 1}" in requirements


@pytest.mark.parametrize("package", SUPPORTED)
def test_what_is_relied_on_does_what_it_did_when_it_was_tested(package: str) -> None:
    version = importlib.metadata.version(package)
    try:
        tested = recorded(package, version)
    except LookupError:
        pytest.fail(f"{package} {version} was never tested: do as docs/mitmproxy.md says")

    now = digests(package)
    changed = [each for each in code_places(package) if now[each.place] != tested.get(each.place)]
    if changed or now.keys() != tested.keys():
        pytest.fail(
            f"{package} {version} does not do what was recorded of it at these places. They are new in the "
            "list, or have changed: docs/mitmproxy.md says what to do.\n"
            + "\n".join(advice(each) for each in changed)
        )


@pytest.mark.parametrize("each", INSIDES, ids=lambda each: each.place)
def test_each_place_has_its_reason_and_stands_where_it_is_said_to(each: Inside) -> None:
    assert re.fullmatch(r"[A-Z].*\.", each.why, re.IGNORECASE)
    if each.kind is not Kind.READ:
        assert source_at(each.place)


def test_no_place_is_listed_twice() -> None:
    assert len(PLACES) == len(INSIDES)


def test_what_is_replaced_is_listed_as_that() -> None:
    replaced = {each.place for each in guard.replacements()}
    in_workers = {"mitmproxy.proxy.mode_servers:AsyncioServerInstance.listen"}

    assert replaced | in_workers == {each.place for each in INSIDES if each.kind is Kind.REPLACED}


def test_every_method_that_is_overridden_is_listed_and_nothing_else() -> None:
    overridden = {
        place_of(base, name)
        for owner in our_classes()
        for name in vars(owner)
        if not name.startswith("__") or name in {"__init__", "__call__"}
        for base in foreign_bases(owner)[:]
        if inspect.isfunction(vars(base).get(name)) and not overrides_earlier(owner, base, name)
    }
    # Put into objects, not into classes of ours.
    in_objects = {
        "mitmproxy.addonmanager:AddonManager.trigger_event",
        "mitmproxy.addons.dumper:Dumper.echo_flow",
        "mitmproxy.addonmanager:AddonManager.trigger",
        "mitmproxy.master:Master.shutdown",
    }

    assert overridden | in_objects == {each.place for each in INSIDES if each.kind is Kind.OVERRIDDEN}


def overrides_earlier(owner: type, base: type, name: str) -> bool:
    """Whether a nearer base has the method too, so that the nearer one is what is overridden."""
    bases = foreign_bases(owner)
    return any(inspect.isfunction(vars(each).get(name)) for each in bases[: bases.index(base)])


def place_of(owner: type, name: str) -> str:
    return f"{owner.__module__}:{owner.__qualname__}.{name}"


def test_every_attribute_of_mitmproxys_that_a_class_of_ours_uses_is_listed() -> None:
    unlisted = {
        f"{owner.__name__} uses {name}"
        for owner in our_classes()
        for name in own_attributes(owner)
        if not hasattr_of_ours(owner, name) and not is_listed(owner, name)
    }

    assert unlisted == set()


def own_attributes(owner: type) -> set[str]:
    """Names that the methods of a class use of `self` or of `super()`."""
    tree = ast.parse(inspect.getsource(owner))
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in {"self", "super()"}
    }


def hasattr_of_ours(owner: type, name: str) -> bool:
    """Whether a class of ours has made an attribute, be it in a method."""
    ours = [each for each in owner.__mro__ if each.__module__.startswith("phoebe_addon")]
    return any(
        name in vars(each) or f"self.{name} = " in source or f"self.{name}: " in source
        for each in ours
        for source in (inspect.getsource(each),)
    ) and not any(is_foreign(base, name) for base in foreign_bases(owner))


def is_foreign(base: type, name: str) -> bool:
    return name in vars(base) or name in getattr(base, "__annotations__", {})


def is_listed(owner: type, name: str) -> bool:
    return any(place_of(base, name) in PLACES for base in foreign_bases(owner))


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_everything_that_is_had_from_mitmproxys_innards_is_listed(module: ModuleType) -> None:
    # A class that is replaced is listed where mitmproxy looks for it, not where it is defined.
    replaced = {each.place.rpartition(":")[2] for each in INSIDES if each.kind is Kind.REPLACED}
    had = {each for each in had_from_innards(module) if each.rpartition(":")[2] not in replaced}

    assert had <= PLACES | NOT_INNARDS


def had_from_innards(module: ModuleType) -> Iterator[str]:
    tree = ast.parse(inspect.getsource(module))
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or not is_innard(node.module or ""):
            continue
        for alias in node.names:
            full = f"{node.module}.{alias.name}"
            if is_module(full):
                modules[alias.asname or alias.name] = full
            elif node.module not in NOT_INNARDS:
                yield f"{node.module}:{alias.name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            full = modules[node.value.id]
            # Else it is a parameter of that name.
            if full not in NOT_INNARDS and hasattr(importlib.import_module(full), node.attr):
                yield f"{full}:{node.attr}"


def is_innard(module: str) -> bool:
    return any(f"{module}.".startswith(f"{innard}.") for innard in INNARDS)


def is_module(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_everything_private_that_is_used_of_others_is_listed(module: ModuleType) -> None:
    listed = {each.place.rpartition(":")[2].rpartition(".")[2] for each in INSIDES}
    tree = ast.parse(inspect.getsource(module))
    private = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and re.fullmatch(r"_[a-z].*", node.attr)
        and ast.unparse(node.value) not in {"self", "super()"}
    }

    assert private <= listed


def test_a_digest_tells_what_is_done_and_not_how_it_looks() -> None:
    plain = "def f(a):\n    return a\n"

    assert normalized('def f( a ):  # why\n    """Say."""\n\n    return a\n') == normalized(plain)
    assert normalized("    " + plain.replace("\n    ", "\n        ")) == normalized(plain)
    assert normalized(plain.replace("return a", "return -a")) != normalized(plain)
    assert normalized("async " + plain) != normalized(plain)
    assert normalized("@expect(Start)\n" + plain) != normalized(plain)


def test_a_place_that_has_changed_is_told_with_what_to_read_again() -> None:
    (place,) = (each for each in INSIDES if each.place.endswith("HttpStream.check_body_size"))

    told = advice(place)

    assert place.why in told
    assert "guard.py" in told
    assert "insides.py" not in told
