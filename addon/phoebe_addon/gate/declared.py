"""What an operator declares of a resource besides its URL, and the warnings when that is too little."""

from dataclasses import dataclass

from phoebe_addon.apis.engines import UNDECLARED, Engine
from phoebe_addon.gate.request_body import Asking

NOTHING_DECLARED = (
    "neither an engine nor models are declared: many model servers repeat the model name that clients send, "
    "and then clients choose their own price"
)


@dataclass(frozen=True, slots=True)
class Declared:
    """What is declared.

    engine: UNDECLARED: it was not. models: the only models that are served; empty: any. asking: what the
    engine is asked for in streams; None: as the option `phoebe_usage` says.
    """

    engine: Engine = UNDECLARED
    models: tuple[str, ...] = ()
    asking: Asking | None = None

    def says_nothing(self) -> bool:
        """Whether nothing tells whose word a model's name is."""
        return self.engine == UNDECLARED and not self.models

    def warnings(self) -> list[str]:
        """List what the operator should know, a sentence each."""
        if self.says_nothing():
            return [NOTHING_DECLARED]
        if self.engine.echoes_model and not self.models:
            return [
                f"{self.engine.name} answers with the model name the client sent, so that clients could "
                "choose their own price: nothing it serves is billed until `models` declares what it may be "
                "called"
            ]
        return []


UNSAID = Declared()
"""Nothing is declared."""
