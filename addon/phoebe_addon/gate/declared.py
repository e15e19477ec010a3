"""What an operator declares of a resource besides its URL, and the warnings when that is too little."""

from dataclasses import dataclass

from phoebe_addon.apis.engines import ENGINES, UNDECLARED, Engine, find_engine, similar_engine
from phoebe_addon.gate.request_body import Asking

NOTHING_DECLARED = (
    "neither an engine nor models are declared: many model servers repeat the model name that clients send, "
    "and then clients choose their own price"
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared.

    engine: as it was written; None: it was not. models: the only models that are served; empty: any. asking:
    what the engine is asked for in streams; None: as the option `phoebe_usage` says.
    """

    engine: str | None = None
    models: tuple[str, ...] = ()
    asking: Asking | None = None

    def says_nothing(self) -> bool:
        """Whether nothing tells whose word a model's name is."""
        return self.engine is None and not self.models

    def known_engine(self) -> Engine:
        """Return the facts of the engine; UNDECLARED if none is declared, or one that is not known."""
        return find_engine(self.engine) or UNDECLARED

    def warnings(self) -> list[str]:
        """List what the operator should know, a sentence each."""
        if self.says_nothing():
            return [NOTHING_DECLARED]
        engine = find_engine(self.engine)
        if engine is None:
            return [_unknown_engine(self.engine or "")]
        if engine.echoes_model and not self.models:
            return [
                f"{engine.name} answers with the model name the client sent, so that clients could choose "
                "their own price: nothing it serves is billed until `models` declares what it may be called"
            ]
        return []


def _unknown_engine(name: str) -> str:
    similar = similar_engine(name)
    hint = (
        f"did you mean {similar.name}?" if similar else f"known: {', '.join(each.name for each in ENGINES)}"
    )
    shown = ascii(name[:100])
    return f"the engine {shown} is not one of those that are known, and nothing is assumed of it; {hint}"


UNSAID = Declared()
"""Nothing is declared."""
