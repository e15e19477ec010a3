"""How much memory a content coding takes, seen from outside."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.content_codings import encode, zstd_block, zstd_frame
from tests.harness.python_child import run_python

BOMBS: dict[str, Callable[[], bytes]] = {
    "gzip": lambda: encode("gzip", bytes(160 << 20)),
    "deflate": lambda: encode("raw deflate", bytes(160 << 20)),
    "br": lambda: encode("br", bytes(160 << 20)),
    "zstd": lambda: zstd_frame(zstd_block(1, 128 * 1024, b"\0") * 1280),
    "br, gzip": lambda: encode("gzip", encode("br", bytes(160 << 20))),
}
READ_BOMB = """
import sys
from pathlib import Path
from phoebe_addon.formats.content_coding import open_decoder

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024

bomb = Path(sys.argv[2]).read_bytes()
before = peak()
decoded = sum(len(piece) for piece in open_decoder(sys.argv[1]).feed(bomb))
print(decoded, peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_never_stands_in_memory_whole(name: str, tmp_path: Path) -> None:
    # In a process of its own, because the libraries' memory is not Python's, and peaks don't go down.
    bomb = tmp_path / "bomb"
    bomb.write_bytes(BOMBS[name]())
    read = run_python(READ_BOMB, name, bomb)

    assert read.returncode == 0, read.stderr
    decoded, peak_bytes = map(int, read.stdout.split())
    assert decoded == 160 << 20
    assert peak_bytes < 48 << 20
