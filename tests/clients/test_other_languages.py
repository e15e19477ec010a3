"""What docs/calling.md shows in Node and Go does what it says, and says what went wrong."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rig.programs import PROJECT
from tests.harness.ledger import HOUR, Ledger
from tests.harness.page_examples import example
from tests.harness.rater import Rater

pytestmark = [pytest.mark.clients, pytest.mark.one_postgres]

# Where distributions keep the sources of Go's libraries.
GO_PATH = Path("/usr/share/gocode")
NODE_LIBRARIES = ("@grpc/grpc-js@1.14.7", "@grpc/proto-loader@0.8.1")
SAYS = "would cost 0.001000000 USD\n"


@pytest.fixture
async def address(rater: Rater, ledger: Ledger) -> str:
    """Where a service answers that has the example prices."""
    await ledger.load((PROJECT / "prices" / "example.yaml").read_bytes(), HOUR)
    return f"127.0.0.1:{rater.port}"


def write(folder: Path, name: str, code: str, address: str) -> None:
    (folder / name).write_text(code.replace("localhost:50051", address), encoding="utf-8")


async def run(folder: Path, *command: str, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env={**os.environ, **environment}, stdout=-1, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the contract and the libraries that the page names."""
    if not shutil.which("npm"):
        pytest.skip("this machine has no Node (node, npm)")
    folder = tmp_path_factory.mktemp("node")
    shutil.copytree(PROJECT / "proto", folder / "proto")
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", *NODE_LIBRARIES], cwd=folder, check=True)
    return folder


async def test_the_program_for_node(node_folder: Path, address: str) -> None:
    write(node_folder, "quote.js", example("calling", "js"), address)
    assert await run(node_folder, "node", "quote.js") == (0, SAYS)


async def test_the_program_for_node_says_what_is_wrong(node_folder: Path, address: str) -> None:
    write(node_folder, "wrong.js", example("calling", "js").replace("Qwen3-32B", "Qwen9"), address)
    status, said = await run(node_folder, "node", "wrong.js")
    assert (status, said.startswith("failed: NOT_FOUND")) == (1, True), said


@pytest.fixture(scope="session")
def go_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for Go's way from before modules, with the generated package where the example imports it."""
    if not (shutil.which("go") and shutil.which("protoc-gen-go-grpc") and (GO_PATH / "src").is_dir()):
        pytest.skip("this machine has no Go with its gRPC libraries (golang-go, golang-google-grpc-dev,"
                    " golang-google-protobuf-dev,"
                    " protoc-gen-go, protoc-gen-go-grpc, protobuf-compiler)")  # fmt: skip
    folder = tmp_path_factory.mktemp("go")
    (folder / "src").mkdir()
    subprocess.run(
        ["protoc", "-I", "proto", f"--go_out={folder / 'src'}", f"--go-grpc_out={folder / 'src'}",
         "proto/phoebe/v1/metering.proto", "proto/phoebe/v1/rating.proto"], cwd=PROJECT, check=True
    )  # fmt: skip
    return folder


async def test_the_program_for_go(go_folder: Path, address: str) -> None:
    write(go_folder, "quote.go", example("calling", "go"), address)
    path = f"{go_folder}:{GO_PATH}"
    ran = await run(go_folder, "go", "run", "quote.go", GO111MODULE="off", GOPATH=path, GOFLAGS="")
    assert ran == (0, SAYS), ran[1]
