"""Answers to quotes: what is the same whenever a model is asked for is written once."""

from datetime import datetime

from google.protobuf.timestamp_pb2 import Timestamp

from phoebe_proto.v1 import rating_pb2 as pb
from rater_service.money import TokenCounts, cost, decimal_text
from rater_service.prices.history import REMEMBERED_MAX, Quote
from rater_service.wire_time import to_timestamp


class QuoteResponses:
    """The responses to quotes, each of which is written when it is first asked for.

    A history gives the same quote again, the very object, for as long as it remembers it.
    """

    def __init__(self) -> None:
        # By the id of the quote, which is kept here: as long as it is, no other one has its id.
        self._written: dict[int, tuple[Quote, pb.ResolvePriceResponse]] = {}

    def of(self, quote: Quote, counts: TokenCounts | None) -> pb.ResolvePriceResponse:
        """Return the response to a quote, with what these tokens cost (None: nobody asked)."""
        known = self._written.get(id(quote))
        if known is None:
            if len(self._written) >= REMEMBERED_MAX:
                self._written.clear()
            known = self._written[id(quote)] = (quote, _response(quote))
        response = pb.ResolvePriceResponse()
        response.CopyFrom(known[1])
        if counts is not None:
            response.cost = decimal_text(cost(counts, quote.price.billed))
        return response


def _response(quote: Quote) -> pb.ResolvePriceResponse:
    """Write all but the cost."""
    price = quote.price
    return pb.ResolvePriceResponse(
        prompt_rate=decimal_text(price.billed.prompt),
        cached_rate=decimal_text(price.billed.cached),
        completion_rate=decimal_text(price.billed.completion),
        source=pb.PriceSource.Value(f"PRICE_SOURCE_{price.source}"),
        derived_from=price.derived_from or "",
        price_book=quote.book.content_hash,
        effective_from=_optional_timestamp(quote.effective_from),
        effective_until=_optional_timestamp(quote.effective_until),
        exact_prompt_rate=decimal_text(price.exact.prompt),
        exact_cached_rate=decimal_text(price.exact.cached),
        exact_completion_rate=decimal_text(price.exact.completion),
        premium=price.premium.describe() if price.premium else "",
    )


def _optional_timestamp(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else to_timestamp(moment)
