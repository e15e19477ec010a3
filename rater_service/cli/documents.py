"""Which kinds of documents each command writes with `--json`. A test holds that each command is here."""

from collections.abc import Mapping
from typing import Any

from rater_service.views.archive import ARCHIVE
from rater_service.views.audit import AUDIT
from rater_service.views.doctor import DOCTOR
from rater_service.views.documents import ERROR, MESSAGE, Kind
from rater_service.views.erasure import ERASURE
from rater_service.views.events import EVENT, EVENTS
from rater_service.views.explanation import EXPLANATION
from rater_service.views.exported import EXPORTED
from rater_service.views.installation import INSTALLATION, INSTALLATION_CHANGE
from rater_service.views.kept_runs import RUN, RUNS
from rater_service.views.migration import MIGRATION, MIGRATION_PLAN
from rater_service.views.price_check import CHECKED, FAULTY
from rater_service.views.price_coverage import COVERAGE
from rater_service.views.price_diff import DIFF
from rater_service.views.price_loadings import BOOK, LOADINGS, WITHDRAWAL
from rater_service.views.producers import PRODUCERS, RETIRED
from rater_service.views.pruning import PRUNE
from rater_service.views.quote import NO_PRICE, QUOTE
from rater_service.views.rejected import REJECTED, RETRIED
from rater_service.views.report import REPORT
from rater_service.views.runs import RATE
from rater_service.views.settings import CONFIG
from rater_service.views.sums import DAY_SUMS, SUMS
from rater_service.views.token import TOKEN

type AnyKind = Kind[Any]

DOCUMENTS: Mapping[str, tuple[AnyKind, ...]] = {
    "archive books": (ARCHIVE,),
    "archive list": (ARCHIVE,),
    "archive move": (ARCHIVE,),
    "audit": (AUDIT,),
    "doctor": (DOCTOR,),
    "config": (CONFIG,),
    "event": (EVENT,),
    "events": (EVENTS,),
    "explain": (EXPLANATION,),
    "export": (EXPORTED,),
    "forget": (ERASURE,),
    "installation renew": (INSTALLATION_CHANGE,),
    "installation set": (INSTALLATION_CHANGE,),
    "installation show": (INSTALLATION,),
    "migrate": (MIGRATION, MIGRATION_PLAN),
    "prices check": (CHECKED, FAULTY),
    "prices coverage": (COVERAGE,),
    "prices diff": (DIFF,),
    "prices list": (LOADINGS,),
    "prices show": (BOOK,),
    "prices withdraw": (WITHDRAWAL,),
    "producers list": (PRODUCERS,),
    "producers retire": (RETIRED,),
    "prune": (PRUNE,),
    "quote": (QUOTE, NO_PRICE),
    "rate": (RATE,),
    "rejected list": (REJECTED,),
    "rejected retry": (RETRIED,),
    "report": (REPORT,),
    "runs list": (RUNS,),
    "runs show": (RUN,),
    "sums rebuild": (SUMS,),
    "sums rebuild-days": (DAY_SUMS,),
    "token new": (TOKEN,),
}
"""By the words of the command; the first kind is what it writes as a rule."""

MESSAGES: tuple[AnyKind, ...] = (ERROR, MESSAGE)
"""What any command with `--json` writes to standard error, one a line."""
