"""The folder in which the commands of a page are run, and the programs and ports that they find.

It looks like the project's folder, with the files that pages name besides: price files, maps, certificates.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.x509 import DNSName

from rig.ports import reserve_port
from rig.programs import PROJECT, environment_of_parts
from tests.docs.in_background import READY, end
from tests.harness.certificates import Authority
from tests.harness.page_blocks import Block, Run

BIN = Path(sys.executable).parent
# What programs write into, and would write into the project then.
LEFT_OUT = re.compile(r"\.(git|phoebe|venv.*|.*_cache)|build|dist|.*\.egg-info")
TIMEOUT_S = 300
# Programs that serve go to the background; everything else of phoebe is called as it is.
PHOEBE = """#!/bin/sh
status=0
case "$1" in
  serve | proxy) exec {python} -m tests.docs.in_background {bin}/phoebe "$@" ;;
esac
{bin}/phoebe "$@" || status=$?
if [ "$status" = 2 ] && [ -n "$ANOMALY_IS_FINE" ]; then exit 0; fi
exit "$status"
"""
MITMDUMP = """#!/bin/sh
case " $* " in
  *" --listen-port "*) ;;
  *) set -- --listen-port {port} "$@" ;;
esac
exec {python} -m tests.docs.in_background {bin}/mitmdump "$@"
"""
# It would install into the environment that the tests run in.
PIP = """#!/bin/sh
echo "say '<!-- test: none, install -->' of a block with pip" >&2
exit 1
"""


@dataclass(frozen=True, slots=True)
class Ports:
    """The ports of this run in the place of the documented ones: 8080, 50051 and 9090."""

    proxy: int
    rater: int
    metrics: int

    def put_into(self, code: str, engine_port: int) -> str:
        """Put them into commands, and the engine's in the place of 8000."""
        for old, new in (("8000", engine_port), ("50051", self.rater), ("9090", self.metrics)):
            code = re.sub(rf"(?<=127\.0\.0\.1:){old}\b", str(new), code)
            code = re.sub(rf"(?<=0\.0\.0\.0:){old}\b", str(new), code)
        return re.sub(r"(?<=127\.0\.0\.1:)8080\b|(?<=--listen-port )8080\b", str(self.proxy), code)


class PageFolder:
    """A folder of its own for a page. engine_port: of a toy engine. programs: of PostgreSQL."""

    def __init__(self, folder: Path, engine_port: int, programs: Path, variables: Mapping[str, str]) -> None:
        self.folder = folder / "project"
        self._engine_port = engine_port
        self._ports = Ports(reserve_port(), reserve_port(), reserve_port())
        self._servers = folder / "servers"
        self._bin = folder / "bin"
        for made in (self.folder, self._servers, self._bin, folder / "home"):
            made.mkdir()
        self._look_like_the_project()
        self._write_files()
        self._environment = {
            **environment_of_parts(os.environ),
            **variables,
            "HOME": str(folder / "home"),
            "PAGE_SERVERS": str(self._servers),
            "PATH": os.pathsep.join(map(str, (self._bin, BIN, programs, os.environ["PATH"]))),
            "PHOEBE_LISTEN": f"127.0.0.1:{self._ports.rater}",
            "PHOEBE_RATER": f"127.0.0.1:{self._ports.rater}",
            "PHOEBE_DRAIN_TIMEOUT": "2",
            "PYTHONPATH": str(PROJECT),
            "TMPDIR": str(folder),
        }

    def run(self, blocks: Sequence[Block], variables: Mapping[str, str]) -> tuple[int, str]:
        """Run blocks in one shell, one after the other, until one fails; gives the status and what they said.

        variables: what comments of blocks can name.
        """
        script = ["set -euo pipefail"]
        for block in blocks:
            told = block.test()
            assert isinstance(told, Run)
            script += [
                f"echo '== {block.name}' >&2",
                f"export ANOMALY_IS_FINE={int(told.is_anomaly_fine) or ''}",
                self._with_ports(told.after),
                self._commands(block, told, variables),
            ]
        is_here = any(block.test().is_here for block in blocks)  # type: ignore[union-attr] # all are Run
        path = self.folder.parent / "commands.sh"
        path.write_text("\n".join(script))
        done = subprocess.run(
            ["bash", path],
            cwd=PROJECT if is_here else self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        return done.returncode, done.stdout

    def stop(self) -> None:
        """End what was started in the background."""
        for kind in READY:
            end(self._servers, kind)

    def _commands(self, block: Block, told: Run, variables: Mapping[str, str]) -> str:
        code = block.code
        for old, new in told.replaced.items():
            value = variables[new[1:]] if new.startswith("$") else new
            word = rf"\b{re.escape(old)}\b" if re.fullmatch(r"\w+", old) else re.escape(old)
            code = re.sub(word, lambda _, value=value: value, code)  # type: ignore[misc]
        code = self._with_ports(code)
        if block.language == "sql":
            return f'psql -v ON_ERROR_STOP=1 "$DATABASE_URL" -c {shlex.quote(code)}'
        return code

    def _with_ports(self, code: str) -> str:
        return self._ports.put_into(code, self._engine_port)

    def said_by_servers(self) -> str:
        """Give the logs of what was started in the background."""
        return "".join(
            f"\n{log.name}:\n{log.read_text(errors='replace')}" for log in self._servers.glob("*.log")
        )

    def _look_like_the_project(self) -> None:
        for entry in PROJECT.iterdir():
            if not LEFT_OUT.fullmatch(entry.name):
                (self.folder / entry.name).symlink_to(entry)
        words = {"python": sys.executable, "bin": BIN, "port": self._ports.proxy}
        for name, text in (("phoebe", PHOEBE), ("mitmdump", MITMDUMP), ("pip", PIP)):
            (self._bin / name).write_text(text.format(**words))
            (self._bin / name).chmod(0o755)

    def _write_files(self) -> None:
        """Write the files that pages name without saying how they are made."""
        prices = (PROJECT / "prices" / "example.yaml").read_text("utf-8")
        for name in ("prices.yaml", "old.yaml"):
            (self.folder / name).write_text(prices)
        assert '"0.000000200"' in prices
        new = prices.replace('"0.000000200"', '"0.000000210"')
        (self.folder / "new.yaml").write_text(new)
        for number in (1, 2, 3):
            coming = f'{new}\neffective_from: "209{number}-01-01T00:00:00Z"\n'
            (self.folder / f"coming-{number}.yaml").write_text(coming)
        (self.folder / "upstreams.yaml").write_text(f'default: "http://127.0.0.1:{self._engine_port}"\n')
        authority = Authority()
        (self.folder / "ca.pem").write_bytes(authority.pem)
        authority.issue("rater", DNSName("localhost")).write(self.folder, "rater")
