"""Every block of commands that says so is run, in its page's order, as a reader would run it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rig.programs import PROJECT
from tests.docs.installation import Installation, installation
from tests.docs.page_folder import PageFolder
from tests.harness.page_blocks import Block, Run, every_block

pytestmark = pytest.mark.docs

RUN = [block for block in every_block() if isinstance(block.test(), Run)]
PAGES = list(dict.fromkeys(block.page for block in RUN))


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installation(tmp_path_factory.mktemp("installation")) as made:
        yield made


@pytest.fixture
def kept_demos() -> Iterator[None]:
    """Remove afterwards what a documented demo keeps."""
    before = set((PROJECT / ".phoebe").glob("demo-*"))
    yield
    for folder in set((PROJECT / ".phoebe").glob("demo-*")) - before:
        shutil.rmtree(folder)


@pytest.mark.usefixtures("kept_demos")
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_their_work(page: str, installed: Installation, tmp_path: Path) -> None:
    blocks: list[Block] = [block for block in RUN if block.page == page]
    with installed.database() as url:
        variables = {**installed.variables, "DATABASE_URL": url}
        folder = PageFolder(tmp_path, installed.engine_port, installed.programs, {"DATABASE_URL": url})
        try:
            status, said = folder.run(blocks, variables)
        finally:
            folder.stop()
    if status:
        pytest.fail(f"exit status {status}\n{said}{folder.said_by_servers()}", pytrace=False)
    assert [block.name for block in blocks if f"== {block.name}\n" not in said] == []
