"""Where one exchange stands, and what may become of it.

    ARRIVED ──► CHECKED ──► ADMITTED ──► ASKED ──► ANSWERING ──► ENDED
       │           ├──────► FREE ──────────▲
       └──────► REFUSED ──► ENDED

Each request of a client has one such object, from its head to its end. The hooks move it on, the meter keeps
its books by it, and the guard asks it whether the engine may be asked. So a hook that fails, or that does not
run at all, leaves an exchange that is not let through. Any exchange can end at any time.
"""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum, StrEnum, auto

from phoebe_addon.answer.abort import Abort
from phoebe_addon.exchange.admission import Admission
from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.metering import Metering
from phoebe_addon.gate.gate import Pass
from phoebe_addon.gate.refusal import Refusal
from phoebe_proto.v1.metering_pb2 import MeteringEvent


class Stage(StrEnum):
    """Where an exchange stands."""

    ARRIVED = auto()  # nothing is decided
    CHECKED = auto()  # its head is in order
    FREE = auto()  # it is let through without an event
    ADMITTED = auto()  # it is let through: its admission is on disk
    ASKED = auto()  # its engine is asked
    ANSWERING = auto()  # its engine answers
    REFUSED = auto()  # it is answered in place of an engine
    ENDED = auto()


# An exchange that was let through is refused only if Phoebe itself fails before the engine is asked.
_NEXT: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.ARRIVED: (Stage.CHECKED, Stage.REFUSED, Stage.ENDED),
    Stage.CHECKED: (Stage.ADMITTED, Stage.FREE, Stage.REFUSED, Stage.ENDED),
    Stage.FREE: (Stage.ASKED, Stage.REFUSED, Stage.ENDED),
    Stage.ADMITTED: (Stage.ASKED, Stage.REFUSED, Stage.ENDED),
    Stage.ASKED: (Stage.ANSWERING, Stage.ENDED),
    Stage.ANSWERING: (Stage.ENDED,),
    Stage.REFUSED: (Stage.ENDED,),
    Stage.ENDED: (),
}


class StageError(RuntimeError):
    """An exchange can't become what it should: a bug. It stays where it stands."""


class EngineFailure(Enum):
    """How an engine failed an exchange."""

    BROKE_OFF = auto()  # it can't be reached, or its connection or its answer broke
    TIMED_OUT = auto()


class Exchange:
    """One request and its answer.

    stage: where it stands; only the methods move it on. connection_id: of the client's connection it came on.
    path: what the client asked for, without the query; an engine may be asked for it below a prefix. passed:
    once its head is in order. refusal: why it was refused. metering: once it is admitted. engine_failure: how
    its engine failed, if it did. answer_is_here: whether all of the answer has come, and the client got none
    of it yet. read_on: whether its client has gone and its answer is read without it. gate_s: seconds that
    its checks took, as far as they have come.
    """

    __slots__ = (
        "__weakref__",  # whoever traces exchanges keeps spans by them
        "answer_is_here",
        "connection_id",
        "engine_failure",
        "gate_s",
        "metering",
        "passed",
        "path",
        "read_on",
        "refusal",
        "stage",
    )

    def __init__(self, connection_id: str) -> None:
        self.stage = Stage.ARRIVED
        self.connection_id = connection_id
        self.path = ""
        self.passed: Pass | None = None
        self.refusal: Refusal | None = None
        self.metering: Metering | None = None
        self.engine_failure: EngineFailure | None = None
        self.gate_s = 0.0
        self.answer_is_here = False
        self.read_on = False

    def pass_head(self, passed: Pass) -> None:
        """Its head is in order. Raises StageError."""
        self._become(Stage.CHECKED)
        self.passed = passed

    def let_free(self) -> None:
        """Let it through without an event. Raises StageError."""
        self._become(Stage.FREE)

    def admit(self, admission: Admission, event: MeteringEvent | None = None) -> None:
        """Let it through: its admission is on disk. event: of that, if it is at hand. Raises StageError."""
        self._become(Stage.ADMITTED)
        self.metering = Metering(admission, event)

    def refuse(self, refusal: Refusal) -> None:
        """Answer it in place of an engine. Of several reasons the first holds. Raises StageError."""
        if self.stage not in (Stage.REFUSED, Stage.ENDED):
            self._become(Stage.REFUSED)
            self.refusal = refusal

    def ask(self) -> bool:
        """Say whether its engine may be asked: only if it was let through, and once. Then it is asked."""
        if self.stage not in (Stage.ADMITTED, Stage.FREE):
            return False
        self._become(Stage.ASKED)
        return True

    def answer_began(self) -> None:
        """The head of its engine's answer is here. Raises StageError."""
        self._become(Stage.ANSWERING)

    def answer_came(self) -> None:
        """All of its answer is here, and is being read. Its client may leave meanwhile: it ends with that."""
        self.answer_is_here = True

    def leave(self, abort: Abort) -> bool:
        """Take note that its client has gone. Returns whether its answer is read on without it."""
        worth = self.stage is Stage.ANSWERING and self.metering and self.metering.is_worth_reading(abort)
        self.read_on = bool(worth)
        return self.read_on

    def engine_failed(self, failure: EngineFailure) -> None:
        """Its engine failed. Of several failures the first holds."""
        self.engine_failure = self.engine_failure or failure

    def end(self, ending: Ending, now: datetime) -> tuple[MeteringEvent, ...]:
        """End it. Returns its events the first time, if it was admitted, its own first; none ever after."""
        stage = self.stage
        if stage is Stage.ENDED:
            return ()
        self._become(Stage.ENDED)
        if self.metering is None:
            return ()
        if stage is Stage.REFUSED or (stage is Stage.ADMITTED and ending is Ending.ANSWER_COMPLETE):
            ending = Ending.PROXY_FAILED  # whatever was answered, no engine said it
        elif self.read_on:
            ending = Ending.CLIENT_GONE  # whatever came to its end afterwards
        return self.metering.events(ending, now)

    def _become(self, stage: Stage) -> None:
        if stage not in _NEXT[self.stage]:
            raise StageError(f"an exchange that is {self.stage} can't become {stage}")
        self.stage = stage
