"""Dockerfiles as the tests read them, and their stages carried out without a container engine.

A stage is carried out in a folder: its absolute paths that name a folder of `PLACES` stand in it, and what it
copies comes from the context that Docker would send (see build_context), or from an earlier stage's folder.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.harness.build_context import copy_context

PROJECT = Path(__file__).parents[2]
# What a stage makes beside its working folder, /src.
PLACES = ("/opt/phoebe", "/opt/sbom", "/src")


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction, its continued lines joined."""

    word: str
    rest: str

    def words(self) -> list[str]:
        """Its words, whether it is written as JSON or as a shell would read it."""
        return json.loads(self.rest) if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass(frozen=True, slots=True)
class Stage:
    """What stands between one FROM and the next."""

    base: str
    name: str
    instructions: tuple[Instruction, ...]

    def last(self, word: str) -> Instruction:
        """The instruction with that word that holds: the last one."""
        return [each for each in self.instructions if each.word == word][-1]

    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        return dict(
            pair.split("=", 1) for each in self.instructions if each.word == "ENV" for pair in each.words()
        )

    def labels(self) -> dict[str, str]:
        """What LABEL sets."""
        return dict(
            pair.split("=", 1) for each in self.instructions if each.word == "LABEL" for pair in each.words()
        )


def read_dockerfile(text: str) -> list[Stage]:
    """Read the stages."""
    lines = "\n".join(line for line in text.splitlines() if line.strip() and not line.startswith("#"))
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", lines).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            base, _, name = rest.partition(" AS ")
            stages.append(Stage(base, name, ()))
        else:
            assert stages, f"{word} before the first stage"
            last = stages[-1]
            stages[-1] = Stage(last.base, last.name, (*last.instructions, Instruction(word, rest)))
    return stages


@dataclass(frozen=True, slots=True)
class Build:
    """An image's stages carried out in a folder."""

    folder: Path

    @property
    def environment(self) -> Path:
        """What stands in /opt/phoebe of the image."""
        return self.place("/opt/phoebe")

    def place(self, path: str) -> Path:
        """Where an absolute path of a stage is."""
        return self.folder / path.lstrip("/")

    def run(self, *command: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the image, not in the checkout, whose packages must not be found."""
        program, *arguments = command
        return subprocess.run(
            [self.environment / "bin" / program, *arguments],
            cwd=self.folder,
            env={**os.environ, **variables},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def imports(self, module: str) -> bool:
        """Tell whether the image has a module."""
        return self.run("python", "-c", f"import {module}").returncode == 0

    def carry_out(self, stage: Stage) -> None:
        """Carry out a stage that runs programs of the environments it makes."""
        source = self.place("/src")
        source.mkdir(exist_ok=True)
        for instruction in stage.instructions:
            if instruction.word == "COPY":
                *origins, target = instruction.words()
                _copy([self.folder / "context" / origin for origin in origins], source / target)
            elif instruction.word == "RUN":
                self._execute(instruction.rest, source)
            else:
                assert (instruction.word, instruction.rest) == ("WORKDIR", "/src"), instruction

    def _execute(self, command: str, source: Path) -> None:
        for place in PLACES:
            command = command.replace(place, str(self.place(place)))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        done = subprocess.run(
            command,
            shell=True,
            cwd=source,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


def build(name: str, folder: Path, *, up_to: str = "build") -> Build:
    """Carry out the stages of Dockerfile.`name` up to one, in a folder that is empty."""
    copy_context(PROJECT, f"Dockerfile.{name}", folder / "context")
    made = Build(folder)
    for stage in read_dockerfile((PROJECT / f"Dockerfile.{name}").read_text()):
        made.carry_out(stage)
        if stage.name == up_to:
            return made
    raise AssertionError(f"Dockerfile.{name} has no stage {up_to}")


def final_stage(name: str) -> Stage:
    """Give the stage that the image of Dockerfile.`name` is made of."""
    return read_dockerfile((PROJECT / f"Dockerfile.{name}").read_text())[-1]


def _copy(origins: list[Path], target: Path) -> None:
    for origin in origins:
        if origin.is_dir():
            shutil.copytree(origin, target)
        else:
            target.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, target)
