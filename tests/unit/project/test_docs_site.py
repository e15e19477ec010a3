"""The pages that are written out from the code name all that there is, and the site has every page."""

from collections.abc import Iterator
from typing import Any

import typer.main
import yaml

from docs_site import addon_options, commands, contract
from docs_site.reference import PAGES
from phoebe_addon.settings.options import OPTIONS
from phoebe_proto.v1 import metering_pb2, rating_pb2
from rater_service.cli.program import app
from rig.programs import PROJECT


def leaves(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    if not hasattr(command, "commands"):
        yield path, command
        return
    for name, each in command.commands.items():
        yield from leaves(f"{path} {name}", each)


def test_every_command_and_option_is_there() -> None:
    page = commands.page()
    for path, command in leaves("phoebe", typer.main.get_command(app)):
        assert command.hidden or f"\n## {path}\n" in page
        for parameter in command.params:
            assert parameter.help, f"{path}: {parameter.name} has no help"
            for name in parameter.opts if parameter.param_type_name == "option" else ():
                assert command.hidden or parameter.hidden or f"`{name}`" in page


def test_every_option_of_the_addon_is_there() -> None:
    rows = [line for line in addon_options.page().splitlines() if line.startswith("| `phoebe_")]
    assert [row.split("`")[1] for row in rows] == [option.name for option in OPTIONS]
    assert all(row.count("|") == 6 for row in rows)


def test_every_message_and_method_is_there_with_its_comment() -> None:
    page = contract.page()
    for file in (metering_pb2.DESCRIPTOR, rating_pb2.DESCRIPTOR):
        for message in file.message_types_by_name.values():
            _, _, told = page.partition(f"\n## {message.name}\n\n")
            assert told[0].isupper(), message.name
            for field in message.fields:
                assert f"| `{field.name}` |" in told.partition("\n## ")[0]
        for service in file.services_by_name.values():
            assert all(f"\n### {service.name}/{method.name}\n" in page for method in service.methods)


def pages(menu: Any) -> Iterator[str]:
    if isinstance(menu, str):
        yield menu
    elif isinstance(menu, dict):
        for each in menu.values():
            yield from pages(each)
    else:
        for each in menu:
            yield from pages(each)


def test_the_menu_has_every_page_once() -> None:
    site = yaml.safe_load((PROJECT / "mkdocs.yml").read_text(encoding="utf-8"))
    menu = list(pages(site["nav"]))
    assert len(menu) == len(set(menu))
    here = {file.name for file in (PROJECT / "docs").glob("*.md")}
    assert here - set(menu) == set()
    assert set(menu) - here == {*PAGES, "changelog.md", "contributing.md", "reporting.md"}
