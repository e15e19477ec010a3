"""What pages answer where they can't show what was asked for."""

import logging

import asyncpg

from rater_service.console.query import BadParameterError
from rater_service.console.view import NotFoundError
from rater_service.database.database import UNAVAILABLE_ERRORS
from rater_service.errors import OperatorError

logger = logging.getLogger(__name__)

_TOO_LONG = "That took too long. Choose a shorter window, or one customer."


class NotAllowedError(Exception):
    """The caller may not see this; which right is missing stands in the message."""


def fault_of(error: Exception) -> tuple[int, str] | None:
    """Give the status and what is said of an error that is no bug; None: it is one."""
    match error:
        case BadParameterError():
            return 400, f"The parameter {error}."
        case NotFoundError():
            return 404, str(error)
        case NotAllowedError():
            return 403, str(error)
        case TimeoutError():
            return 503, _TOO_LONG
        case OperatorError():
            return 503, str(error)
    return _fault_of_database(error)


def _fault_of_database(error: Exception) -> tuple[int, str] | None:
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        logger.error("the role of the console lacks a right in the database: %s", error)
        return 503, "The role of the service lacks a right in the database."
    if not isinstance(error, UNAVAILABLE_ERRORS):
        return None
    if isinstance(error.__cause__, TimeoutError):
        return 503, _TOO_LONG
    logger.warning("the console can't use the database: %s", error)
    return 503, "The database can't be used now. Try again soon."
