"""Whatever hooks run, in whatever order: no engine is asked unless it may be, and no event is lost."""

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from phoebe_addon.exchange.event import Ending
from phoebe_addon.exchange.exchange import Exchange, Stage, StageError
from phoebe_addon.gate.refusal import INTERNAL_ERROR, STOPPING
from tests.harness.exchanges import PASSED, admission

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MOVES: dict[str, Callable[[Exchange], object]] = {
    "pass_head": lambda exchange: exchange.pass_head(PASSED),
    "let_free": Exchange.let_free,
    "admit": lambda exchange: exchange.admit(admission()),
    "refuse": lambda exchange: exchange.refuse(INTERNAL_ERROR),
    "refuse otherwise": lambda exchange: exchange.refuse(STOPPING),
    "answer_began": Exchange.answer_began,
}
ASK = "ask"
moves = st.lists(st.one_of(st.sampled_from([*MOVES, ASK]), st.sampled_from(Ending)), max_size=12)


@given(moves)
def test_an_engine_is_asked_for_and_an_event_made_once_and_only_of_what_was_let_through(
    way: list[str | Ending],
) -> None:
    exchange = Exchange("connection-1")
    done: list[str] = []
    asked, events, refusals = 0, 0, 0
    for move in way:
        before = exchange.stage
        if isinstance(move, Ending):
            made = bool(exchange.end(move, NOW))
            events += made
            assert made == ("admit" in done and before is not Stage.ENDED)
        elif move == ASK:
            allowed = exchange.ask()
            asked += allowed
            assert allowed == (before in {Stage.ADMITTED, Stage.FREE})
        else:
            try:
                MOVES[move](exchange)
                done.append(move)
            except StageError:
                assert exchange.stage is before
        refusals += before is not Stage.REFUSED and exchange.stage is Stage.REFUSED
        assert before is not Stage.ENDED or exchange.stage is Stage.ENDED
    assert asked <= ("admit" in done or "let_free" in done)
    assert not (asked and refusals)
    assert events <= ("admit" in done)
    assert not ("admit" in done and "let_free" in done)
