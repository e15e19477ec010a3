"""The command `conformance`, which plugs into the operator's command line."""

from collections.abc import Sequence
from typing import Annotated, TypedDict

import typer

from phoebe_addon.apis.engines import Engine, UnknownEngineError, named_engine
from phoebe_addon.gate.request_body import Asking
from phoebe_addon.gate.upstreams import Upstream, UpstreamsError, parse_url
from rater_service.cli.engine import CaFile, Headers
from rater_service.cli.request_headers import HeaderError, read_headers
from rater_service.errors import NeedsAttention, OperatorError
from rater_service.views.documents import Kind, write_json
from rater_service.views.layout import Words
from rater_service.views.terminal import progress, write, write_table

from .engine_line import Access, EngineLine
from .inspection import Inspection, Order
from .questions import QUESTIONS, Question, find_question
from .report import Finding, Report, Result

_ALL = "all"
_APIS = ", ".join(question.api for question in QUESTIONS)
# The first line keeps the others as they are.
_EPILOG = """\b
Examples:
  phoebe conformance http://127.0.0.1:8000 --model meta-llama/Llama-3.1-8B
  phoebe conformance http://127.0.0.1:8000 --model m --usage final
  phoebe conformance http://127.0.0.1:8000 --model m --engine vllm --models m
  phoebe conformance http://127.0.0.1:8000 --model m --api all --json
  phoebe conformance https://api.example --model m --header @headers.txt
"""


class CheckJson(TypedDict):
    """One check of an API family; api: null: of the engine as a whole. hint: what to do; null: nothing."""

    api: str | None
    name: str
    result: Result
    message: str
    hint: str | None


class ConformanceJson(TypedDict):
    """What a model server was found to be and do. conforms: null: not everything could be checked."""

    url: str
    model: str
    engine: str | None
    engine_version: str | None
    detected_by: str | None
    checks: Sequence[CheckJson]
    conforms: bool | None


CONFORMANCE = Kind("conformance", ConformanceJson)

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("conformance", epilog=_EPILOG)
def conformance(  # noqa: PLR0913 - one parameter per option
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="The engine itself, as in `phoebe_upstream`: without /v1, not the proxy."
        ),
    ],
    *,
    model: Annotated[str, typer.Option(metavar="M", help="The model to ask for.")],
    api: Annotated[
        list[str],
        typer.Option(
            metavar="API", help=f"An API family, repeatable, or `all` that the engine answers in: {_APIS}."
        ),
    ] = ["openai.chat"],  # noqa: B006 - Typer copies it
    engine: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", show_default=False, help="What the engine is. Default: what it says of itself."
        ),
    ] = None,
    usage: Annotated[Asking, typer.Option(help="As the addon's option `phoebe_usage`.")] = Asking.AUTO,
    models: Annotated[
        list[str] | None,
        typer.Option(
            "--models",
            metavar="NAME",
            show_default=False,
            help="A name that the resource map declares under `models`, repeatable.",
        ),
    ] = None,
    header: Headers = None,
    ca_file: CaFile = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.1, max=3600, help="How long an answer may take.")
    ] = 60.0,
    prompt_tokens: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, max=100_000, help="About how long the prompt is that is to be cached."
        ),
    ] = 1200,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the findings as JSON to standard output.")
    ] = False,
) -> None:
    """Check, before a model server is put into service, that it reports the usage Phoebe bills on.

    Asks it as the addon would, plainly, for streams, for a stream that is left early, for the same long
    prompt again and for a model that does not exist, and reads its answers by the addon's own code. Each API
    family takes seven small requests: answers of at most 16 tokens, and three times the prompt that is to be
    cached.

    Exit codes: 0 everything would be billed (there may be warnings); 2 something would be billed wrongly or
    not at all; 1 it could not be checked: the engine does not answer or refuses to, or wrong usage.
    """
    order = Order(
        model,
        _questions(api),
        _engine(engine),
        usage,
        _models(models, model),
        prompt_tokens,
    )
    upstream = _upstream(url)
    try:
        access = Access(read_headers(header or []), timeout, ca_file)
        line = EngineLine(upstream, access)
    except HeaderError as error:
        raise typer.BadParameter(str(error), param_hint="--header") from None
    except OSError as error:
        raise OperatorError(f"{ca_file}: no certificates can be read from it: {error}") from None
    with line:
        report = Inspection(line, order, progress).run()
    if as_json:
        write_json(CONFORMANCE, _as_json(url, model, report))
    else:
        _show(f"{model} at {url}", report)
    if report.conforms is False:
        raise NeedsAttention
    if report.conforms is None:
        raise typer.Exit(1)


def _questions(apis: list[str]) -> tuple[Question, ...]:
    """Find the questions of API families; none: all are meant."""
    if _ALL in apis:
        return ()
    found = [find_question(api) for api in dict.fromkeys(apis)]
    if None in found:
        raise typer.BadParameter(f"known are {_APIS} and {_ALL}", param_hint="--api")
    return tuple(question for question in found if question)


def _engine(name: str | None) -> Engine | None:
    if name is None:
        return None
    try:
        return named_engine(name)
    except UnknownEngineError as error:
        raise typer.BadParameter(str(error), param_hint="--engine") from None


def _models(declared: list[str] | None, model: str) -> tuple[str, ...]:
    if declared and model not in declared:
        raise typer.BadParameter(
            f"{model!a} is not among them, so that Phoebe would refuse it", param_hint="--models"
        )
    return tuple(declared or ())


def _upstream(url: str) -> Upstream:
    try:
        return parse_url(url)
    except UpstreamsError as error:
        raise typer.BadParameter(str(error), param_hint="URL") from None


def _show(title: str, report: Report) -> None:
    write_table(
        title,
        ("api", "check", "result", "finding", "what to do"),
        map(_row, report.findings),
    )
    write(_verdict(report))


def _row(finding: Finding) -> tuple[str | None, ...]:
    hint = None if finding.hint is None else Words(finding.hint)
    return finding.api, finding.name, _shown(finding.result), Words(finding.message), hint


def _shown(result: Result) -> str:
    return result.upper() if result is Result.FAILED else result


def _verdict(report: Report) -> str:
    if report.conforms is None:
        return "not everything could be checked"
    if not report.conforms:
        return "does not conform: something would be billed wrongly or not at all"
    warnings = sum(finding.result is Result.WARNING for finding in report.findings)
    return f"conforms, with warnings: {warnings}" if warnings else "conforms"


def _as_json(url: str, model: str, report: Report) -> ConformanceJson:
    return {
        "url": url,
        "model": model,
        "engine": report.engine,
        "engine_version": report.version,
        "detected_by": report.detected_by,
        "checks": [_check(finding) for finding in report.findings],
        "conforms": report.conforms,
    }


def _check(finding: Finding) -> CheckJson:
    return {
        "api": finding.api,
        "name": finding.name,
        "result": finding.result,
        "message": finding.message,
        "hint": finding.hint,
    }
