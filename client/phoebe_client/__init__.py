"""A client of the rater's RatingService: rate windows, ask for prices, read bills, have them proven.

`Client` blocks, `AsyncClient` is for asyncio; both take and give the same types. Money and rates are
`decimal.Decimal` in USD, times aware UTC `datetime`. What fails raises a `PhoebeError`.
"""

from phoebe_client.aio import AsyncClient
from phoebe_client.client import Client
from phoebe_client.connection import Connection, ConnectionOptions
from phoebe_client.errors import (
    CallFailedError,
    InvalidRequestError,
    NoPriceBookError,
    NoPriceError,
    NotAllowedError,
    OperatorNeededError,
    PhoebeError,
    UnavailableError,
)
from phoebe_client.results import (
    Anomaly,
    Audit,
    AuditDifference,
    AuditDifferenceCount,
    AuditedProducer,
    BillChange,
    IncompleteProducer,
    Offender,
    Price,
    PriceSource,
    RatedUsage,
    RateMode,
    Run,
    UnbilledOutput,
)

__all__ = [
    "Anomaly",
    "AsyncClient",
    "Audit",
    "AuditDifference",
    "AuditDifferenceCount",
    "AuditedProducer",
    "BillChange",
    "CallFailedError",
    "Client",
    "Connection",
    "ConnectionOptions",
    "IncompleteProducer",
    "InvalidRequestError",
    "NoPriceBookError",
    "NoPriceError",
    "NotAllowedError",
    "Offender",
    "OperatorNeededError",
    "PhoebeError",
    "Price",
    "PriceSource",
    "RateMode",
    "RatedUsage",
    "Run",
    "UnavailableError",
    "UnbilledOutput",
]
