"""Which versions of the code work with which schema."""

import re
from pathlib import Path

import pytest

from rater_service.database.lock_watch import Blocker
from rater_service.database.revisions import Extent, Phase, Revision, Revisions, Schema, load_revisions
from rater_service.errors import OperatorError
from rig.programs import PROJECT
from tests.harness.later_revisions import write_revision

EXPAND, CONTRACT = Phase.EXPAND, Phase.CONTRACT
PROGRAM = Revisions((Revision("1", EXPAND), Revision("2", EXPAND), Revision("3", CONTRACT)), ())


def schema(*phases: Phase) -> Schema:
    """A schema with so many revisions."""
    applied = tuple(Revision(str(number), phase) for number, phase in enumerate(phases, 1))
    return Schema(applied[-1].id, applied)


def refuse_unfit(found: Schema) -> None:
    PROGRAM.refuse_newer(found)
    PROGRAM.refuse_older(found)


@pytest.mark.parametrize(
    ("found", "pending"),
    [
        (schema(EXPAND, EXPAND), ["3"]),
        (schema(EXPAND, EXPAND, CONTRACT), []),
        (schema(EXPAND, EXPAND, CONTRACT, EXPAND), []),
        (schema(EXPAND, EXPAND, CONTRACT, EXPAND, EXPAND), []),
    ],
    ids=["not contracted", "the same", "expanded later", "expanded twice"],
)
def test_a_program_works_with_what_has_all_it_needs(found: Schema, pending: list[str]) -> None:
    refuse_unfit(found)
    assert [revision.id for revision in PROGRAM.pending(found)] == pending


@pytest.mark.parametrize(
    ("known", "found", "extent", "due"),
    [
        ("EEC", schema(EXPAND), Extent.ALL, ["2", "3"]),
        ("EEC", schema(EXPAND), Extent.EXPAND, ["2"]),
        ("EEC", schema(EXPAND), Extent.NEEDED, ["2"]),
        ("EEC", schema(EXPAND, EXPAND), Extent.NEEDED, []),
        ("EECCEC", schema(EXPAND), Extent.EXPAND, ["2"]),
        ("EECCEC", schema(EXPAND), Extent.NEEDED, ["2", "3", "4", "5"]),
        ("EECCEC", Schema(None), Extent.NEEDED, ["1", "2", "3", "4", "5"]),
        ("EECCEC", schema(EXPAND, EXPAND, CONTRACT, CONTRACT), Extent.EXPAND, ["5"]),
        ("E", schema(EXPAND, EXPAND), Extent.NEEDED, []),
    ],
)
def test_what_is_due_by_how_far_it_is_to_go(
    known: str, found: Schema, extent: Extent, due: list[str]
) -> None:
    phases = {"E": EXPAND, "C": CONTRACT}
    program = Revisions(tuple(Revision(str(n), phases[one]) for n, one in enumerate(known, 1)), ())
    assert [revision.id for revision in program.due(found, extent)] == due


@pytest.mark.parametrize("found", [Schema(None), schema(EXPAND)], ids=["empty", "older"])
def test_a_program_refuses_a_schema_that_lacks_what_it_needs(found: Schema) -> None:
    with pytest.raises(OperatorError, match="needs 2; run `phoebe migrate`"):
        refuse_unfit(found)


@pytest.mark.parametrize(
    "found",
    [
        schema(EXPAND, EXPAND, CONTRACT, CONTRACT),
        schema(EXPAND, EXPAND, CONTRACT, CONTRACT, EXPAND),
        Schema("9"),
        Schema("9", schema(EXPAND, EXPAND).applied),
    ],
    ids=["contracted later", "contracted, then expanded", "unknown", "unknown, without its phase"],
)
def test_a_program_refuses_a_later_schema_that_was_not_only_expanded(found: Schema) -> None:
    with pytest.raises(OperatorError, match="can't work with; use the later version"):
        refuse_unfit(found)


def test_the_programs_own_revisions_are_one_line_from_the_start_and_each_states_its_phase() -> None:
    own = load_revisions()
    ids = [revision.id for revision in own.known]
    assert all(re.fullmatch("[0-9]{4}", each) for each in ids)
    assert ids == sorted(set(ids))
    assert (own.known[0].phase, own.known[0].title[:9]) == (EXPAND, "The start")


def test_later_revisions_are_read_from_a_folder_of_their_own(tmp_path: Path) -> None:
    own = load_revisions()
    number = int(own.known[-1].id) + 1
    write_revision(tmp_path / "100%", number, "SELECT 1", CONTRACT)

    later = load_revisions(tmp_path / "100%")

    assert later.known == (
        *own.known,
        Revision(f"{number:04}", CONTRACT, f"Revision {number} of a later version."),
    )
    assert later.needed == own.needed


@pytest.mark.parametrize("phase", ["", "phase = 'grow'"], ids=["none", "unknown"])
def test_a_revision_without_a_phase_is_a_bug(tmp_path: Path, phase: str) -> None:
    number = int(load_revisions().known[-1].id) + 1
    write_revision(tmp_path, number, "SELECT 1")
    (file,) = tmp_path.iterdir()
    file.write_text(file.read_text().replace('phase = "expand"', phase))
    with pytest.raises((AttributeError, ValueError), match=r"phase|Phase"):
        load_revisions(tmp_path)


@pytest.mark.parametrize(
    ("blocker", "said"),
    [
        (
            Blocker(42, "psql", "finance", "idle in transaction", 61.4, 62.0),
            'pid 42 (application "psql", role finance, idle in transaction, its query began 61 s ago,'
            " its transaction 62 s ago)",
        ),
        (Blocker(42, None, "finance", None, None, None), "pid 42 (role finance)"),
        (Blocker(42, None, None, None, None, None), "pid 42 (nothing more is told to this role)"),
        (Blocker(0, None, None, None, None, None), "a prepared transaction (see pg_prepared_xacts)"),
    ],
)
def test_who_is_in_the_way_is_named_as_far_as_it_is_known(blocker: Blocker, said: str) -> None:
    assert str(blocker) == said


def test_every_statement_of_a_revision_is_sent_by_it() -> None:
    versions = PROJECT / "migrations/versions"
    files = sorted(versions.glob("*/*.sql"))
    unsent = [
        str(file.relative_to(versions))
        for file in files
        if f'"{file.stem}"' not in file.parent.with_suffix(".py").read_text()
    ]

    assert files
    assert unsent == []
