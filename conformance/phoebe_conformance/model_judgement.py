"""Whether an engine's answers say which model is to be billed, and whose word that is."""

from . import advice
from .case import Case, counts
from .metering import Metered
from .questions import UNKNOWN_MODEL
from .report import Finding

_ECHOES = "The engine answers with whatever model name the client sends: clients would choose their price."


def judge_plain(case: Case, metered: Metered) -> Finding:
    """Judge an answer that is one document. Raises UncheckedError if the engine does not give it."""
    case.require_served(metered, "Check the model's name, and that the engine serves this API.")
    return case.usage_fault("plain", metered) or _judge_model(case, metered)


def _judge_model(case: Case, metered: Metered) -> Finding:
    event = metered.event
    answered = event.model_id
    if not answered:
        return case.failed(
            "plain",
            f"The answer names no model: its usage ({counts(event)}) would not be billed.",
            f"Declare in the resource map: {advice.declaration(case.terms.engine, case.model)}; "
            f"then check it with --models {case.model}.",
        )
    if answered == case.model:
        return case.ok("plain", f"Usage and model are reported: {counts(event)}.")
    if case.terms.models and event.model_untrusted:
        return case.failed(
            "plain",
            f"The engine answers as {answered}, which `models` does not declare: it would not be billed.",
            f"Add {answered} to the resource's `models`, and price that name.",
        )
    return case.warning(
        "plain",
        f"The engine answers as {answered}: that name is the price key.",
        f"Price {answered}. If the resource map has `models`, declare both names there.",
    )


def judge_echo(case: Case, metered: Metered, plain: Metered) -> Finding:
    """Judge the answer to a request for a model that does not exist. plain: the one to a proper request."""
    declare = advice.declaration(case.terms.engine, case.model)
    if metered.served and metered.event.model_id == UNKNOWN_MODEL:
        return _judge_echoing(case, declare)
    if plain.event.model_untrusted:
        return case.warning(
            "echo",
            f"{case.terms.engine.name} is known to answer with whatever model name the client sends, "
            "though this one does not: nothing it serves is billed without `models`.",
            f"Declare in the resource map: {declare}.",
        )
    if not metered.served:
        return case.ok("echo", f"A model that does not exist is refused ({metered.event.status_code}).")
    answered = f"as {metered.event.model_id}" if metered.event.model_id else "without a name"
    return case.ok("echo", f"A model that does not exist is answered {answered}, not by its own name.")


def _judge_echoing(case: Case, declare: str) -> Finding:
    engine = case.terms.engine
    if case.terms.stated and not engine.echoes(case.question.api):
        return case.failed(
            "echo",
            f"{_ECHOES} {engine.name} is not known to do that.",
            f"Check --engine, and declare in the resource map: {declare}.",
        )
    billed = (
        "nothing it serves is billed"
        if engine.echoes(case.question.api)
        else "it is billed by the name that the client chose"
    )
    return case.warning(
        "echo", f"{_ECHOES} Without `models` {billed}.", f"Declare in the resource map: {declare}."
    )
