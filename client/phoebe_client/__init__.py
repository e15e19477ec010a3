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
    NoSuchEventError,
    NotAllowedError,
    OperatorNeededError,
    PhoebeError,
    UnavailableError,
)
from phoebe_client.events import (
    Charge,
    Event,
    EventBill,
    EventPrice,
    EventStanding,
    PriceLine,
    StoredEvent,
)
from phoebe_client.requests import EventFilters
from phoebe_client.results import (
    Anomaly,
    Audit,
    AuditDifference,
    AuditDifferenceCount,
    AuditedProducer,
    BillChange,
    IncompleteProducer,
    KeptRun,
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
    "Charge",
    "Client",
    "Connection",
    "ConnectionOptions",
    "Event",
    "EventBill",
    "EventFilters",
    "EventPrice",
    "EventStanding",
    "IncompleteProducer",
    "InvalidRequestError",
    "KeptRun",
    "NoPriceBookError",
    "NoPriceError",
    "NoSuchEventError",
    "NotAllowedError",
    "Offender",
    "OperatorNeededError",
    "PhoebeError",
    "Price",
    "PriceLine",
    "PriceSource",
    "RateMode",
    "RatedUsage",
    "Run",
    "StoredEvent",
    "UnavailableError",
    "UnbilledOutput",
]
