"""The categories of usage, for each statement that reads them: which count of a run events belong to."""

from rater_service.prices.pricebook import FINE_TUNE_PREFIX
from rater_service.statements import Bound, source, statement


def over_categories(name: str, /, **arguments: object) -> Bound:
    """Give a statement over the categories of a window; arguments: its own, and those of the window."""
    over = statement(name, categories=source("rating/categories"))
    return over.bind({"fine_tune_prefix": FINE_TUNE_PREFIX, **arguments})
