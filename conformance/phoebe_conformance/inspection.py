"""The run: what is asked of an engine, in which order, and what is found."""

import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

from phoebe_addon.apis.engines import UNDECLARED, Engine
from phoebe_addon.gate.request_body import Asking

from .cached_judgement import judge_cached
from .case import Case
from .detection import MODELS_PATH, Detected, detect, model_names
from .engine_line import EngineLine, Reply
from .label_judgement import judge_labels
from .metering import Meter, Metered, Terms, require_willing
from .model_judgement import judge_echo, judge_plain
from .questions import QUESTIONS, SHORT_PROMPT, UNKNOWN_MODEL, Question, Wording, long_prompt
from .report import Finding, Report, Result, UncheckedError
from .stream_judgement import judge_aborted, judge_refused, judge_streamed

# Enough for a stream to have told something, few enough for the shortest to go on.
_DOCUMENTS_BEFORE_ABORT = 3
_MODELS_SHOWN = 5

type Progress = Callable[[str], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to check.

    questions: of the API families; empty: all that the engine answers. engine: None: it is to be detected.
    asking: what the engine is asked for in streams. models: those the resource map declares. prompt_tokens:
    the size of the prompt that is to be cached.
    """

    model: str
    questions: tuple[Question, ...]
    engine: Engine | None = None
    asking: Asking = Asking.AUTO
    models: tuple[str, ...] = ()
    prompt_tokens: int = 1200


class Inspection:
    """Checks one engine. progress: shows, as long as its context lasts, what is being done."""

    def __init__(self, line: EngineLine, order: Order, progress: Progress) -> None:
        self._line = line
        self._order = order
        self._progress = progress
        self._terms = Terms(order.engine or UNDECLARED, order.engine is not None, order.models, order.asking)
        self._detected_by = "--engine" if order.engine else None
        self._version: str | None = None
        self._findings: list[Finding] = []
        self._answered: list[str] = []
        self._check = ""  # what is being found out
        self._over = False

    def run(self) -> Report:
        """Make all checks."""
        self._collect(None, self._check_engine())
        for question in self._order.questions or QUESTIONS:
            if not self._over:
                self._collect(question.api, self._check_api(question))
        if not self._over and not self._order.questions:
            self._findings.append(self._answered_apis())
        return Report(self._terms.engine.name or None, self._version, self._detected_by, self._findings)

    def _collect(self, api: str | None, findings: Iterator[Finding]) -> None:
        """Keep findings, up to the first check that can't be made."""
        try:
            for finding in findings:
                self._findings.append(finding)
        except UncheckedError as error:
            self._over = error.everywhere
            self._findings.append(Finding(self._check, Result.UNCHECKED, str(error), error.hint, api))

    def _check_engine(self) -> Iterator[Finding]:
        models = self._get("models", MODELS_PATH)
        require_willing(models.head.status_code, f"GET {MODELS_PATH}", self._line.said(models.content))
        yield judge_models(self._order.model, model_names(models))
        detected = detect(lambda path: self._get("engine", path), models)
        yield self._judge_engine(detected)

    def _judge_engine(self, detected: Detected | None) -> Finding:
        stated = self._order.engine
        if stated:
            return judge_statement(stated, detected)
        if detected is None:
            return Finding(
                "engine",
                Result.WARNING,
                "Which engine this is can't be told, so that nothing is assumed of it.",
                "Name it with --engine if it is one that Phoebe knows.",
            )
        self._terms = replace(self._terms, engine=detected.engine)
        self._detected_by = detected.by
        self._version = detected.version
        return Finding("engine", Result.OK, f"{detected.name}, by {detected.by}.")

    def _check_api(self, question: Question) -> Iterator[Finding]:
        case = Case(question, self._order.model, self._terms)
        meter = Meter(self._line, self._terms)
        plain = self._ask("plain", meter, question)
        if not plain.served and not self._order.questions:
            return
        self._answered.append(question.api)
        yield judge_plain(case, plain)
        yield from judge_labels(case, "plain", plain)
        if question.generates:
            yield from self._check_streams(case, meter, plain)
            yield self._check_cache(case, meter)
        if case.family.request.names_model:
            yield self._check_echo(case, meter, plain)

    def _check_streams(self, case: Case, meter: Meter, plain: Metered) -> Iterator[Finding]:
        stream = self._ask("streamed", meter, case.question, streamed=True)
        if not stream.served and stream.added_switches:
            unasked = Meter(self._line, replace(self._terms, asking=Asking.NONE))
            yield judge_refused(case, stream, self._ask("streamed", unasked, case.question, streamed=True))
            return
        yield judge_streamed(case, stream, plain)
        yield from judge_labels(case, "streamed", stream)
        documents_max = _DOCUMENTS_BEFORE_ABORT
        left = self._ask("aborted", meter, case.question, streamed=True, documents_max=documents_max)
        yield judge_aborted(case, left)

    def _check_cache(self, case: Case, meter: Meter) -> Finding:
        # New to the engine, so that it is the second answer that comes from its cache.
        prompt = long_prompt(self._order.prompt_tokens, secrets.token_hex(8))
        first, second, stream = (
            self._ask("cached", meter, case.question, prompt=prompt, streamed=streamed)
            for streamed in (False, False, True)
        )
        return judge_cached(case, first, second, stream)

    def _check_echo(self, case: Case, meter: Meter, plain: Metered) -> Finding:
        if self._terms.models:
            return case.ok("echo", "Phoebe refuses every model that `models` does not declare.")
        unknown = self._ask("echo", meter, case.question, model=UNKNOWN_MODEL)
        return judge_echo(case, unknown, plain)

    def _answered_apis(self) -> Finding:
        if not self._answered:
            return Finding(
                "apis",
                Result.UNCHECKED,
                "The engine answers in none of the APIs that can be checked.",
                "Check the URL and the model's name; name an API (--api) to see what it says.",
            )
        return Finding("apis", Result.OK, f"The engine answers in {', '.join(self._answered)}.")

    def _get(self, check: str, path: str) -> Reply:
        self._check = check
        with self._progress(f"{check}: GET {path}"):
            return self._line.get(path)

    def _ask(  # noqa: PLR0913 - what may differ between questions
        self,
        check: str,
        meter: Meter,
        question: Question,
        *,
        model: str | None = None,
        prompt: str = SHORT_PROMPT,
        streamed: bool = False,
        documents_max: int | None = None,
    ) -> Metered:
        self._check = check
        wording = Wording(model or self._order.model, prompt, self._terms.engine.name)
        with self._progress(f"{question.api}: {check}"):
            return meter.ask(question, wording, streamed=streamed, documents_max=documents_max)


def judge_models(model: str, listed: tuple[str, ...] | None) -> Finding:
    """Judge what an engine lists. listed: None if it lists nothing."""
    if listed is None:
        return Finding("models", Result.WARNING, f"The engine answers, but has no list at GET {MODELS_PATH}.")
    if model in listed:
        return Finding("models", Result.OK, f"The engine answers and lists {model}.")
    shown = ", ".join(listed[:_MODELS_SHOWN]) + (", …" if len(listed) > _MODELS_SHOWN else "")
    return Finding(
        "models",
        Result.WARNING,
        f"The engine answers, but does not list {model}. It lists {shown or 'none'}.",
        "Check --model.",
    )


def judge_statement(stated: Engine, detected: Detected | None) -> Finding:
    """Judge what the operator says of an engine by what it says of itself."""
    if detected and detected.engine.name != stated.name:
        return Finding(
            "engine",
            Result.WARNING,
            f"It is said to be {stated.name}, but looks like {detected.name}, by {detected.by}.",
            "Check --engine, and `engine` in the resource map.",
        )
    return Finding("engine", Result.OK, f"{stated.name}, by --engine.")
