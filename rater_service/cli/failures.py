"""How it is said that a command failed: to a person in a line, with `--json` as a document."""

import asyncpg
import typer

from rater_service.database.database import UNAVAILABLE_ERRORS
from rater_service.database.sessions import reason
from rater_service.errors import OperatorError
from rater_service.prices.faults import PriceFileError
from rater_service.views.documents import ERROR, ErrorJson, Failure, messages_are_json, write_error
from rater_service.views.terminal import complain

EXPECTED = (
    typer.TyperException,
    typer.Abort,
    asyncpg.InsufficientPrivilegeError,
    *UNAVAILABLE_ERRORS,
    OperatorError,
    PriceFileError,
)
"""What a command may fail with. Everything else is a bug."""


def tell(error: Exception) -> None:
    """Say why a command failed. error: one of `EXPECTED`."""
    told = _told(error)
    if messages_are_json():
        write_error(ERROR, told)
    else:
        complain(f"phoebe: {told['message']}")


def _told(error: Exception) -> ErrorJson:
    faults = error.faults if isinstance(error, PriceFileError) else ()
    match error:
        case typer.TyperException():
            failure, message = Failure.USAGE, error.format_message()
        case typer.Abort():
            failure, message = Failure.OPERATOR, "it was broken off"
        case asyncpg.InsufficientPrivilegeError():
            failure, message = (
                Failure.DATABASE,
                f"the role of DATABASE_URL lacks a right: {reason(error)}",
            )
        case PriceFileError():
            failure, message = Failure.PRICE_FILE, str(error)
        case _ if isinstance(error, UNAVAILABLE_ERRORS):
            failure, message = Failure.DATABASE, f"the database can't be used now: {reason(error)}"
        case _:
            failure, message = Failure.OPERATOR, str(error)
    return {"failure": failure, "message": message, "faults": faults}
