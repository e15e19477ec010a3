"""The layout of FOCUS 1.2, the billing format of the FinOps Foundation (focus.finops.org, Cost and Usage).

A rollup has up to three rows, one for each kind of token it bills, since their prices differ. What FOCUS has
a column for and Phoebe does not know (names of accounts and resources, regions, invoices, commitments) is
null where the specification demands the column, and left out where it does not. Columns with x_ are our own.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from json import dumps

from rater_service.bills.export_layout import Cell, Column, ColumnKind, Layout, Rollup
from rater_service.money import decimal_text
from rater_service.rollup import Charge

FOCUS_VERSION = "1.2"
# From the first day of any month, this much later is in the next month.
_MONTH_MAX = timedelta(days=31)
_UNIT = "Tokens"

_TOKENS = {
    "prompt": ("Prompt Tokens", "prompt tokens that did not come from the cache"),
    "cached": ("Cached Prompt Tokens", "prompt tokens from the cache"),
    "completion": ("Completion Tokens", "generated tokens"),
}

# Nothing is prepaid, committed or discounted, and all is in USD: these are the same.
_COSTS = ("BilledCost", "EffectiveCost", "ListCost", "ContractedCost", "PricingCurrencyEffectiveCost")
_UNIT_PRICES = (
    *("ListUnitPrice", "ContractedUnitPrice"),
    *("PricingCurrencyListUnitPrice", "PricingCurrencyContractedUnitPrice"),
)
_QUANTITIES = ("PricingQuantity", "ConsumedQuantity")
# Readers of CSV that guess types take a quantity for a decimal, as FOCUS demands, if it looks like one.
_TENTH = Decimal("0.1")

_COLUMNS = (
    Column("BilledCost", ColumnKind.MONEY),
    Column("BillingAccountId", ColumnKind.TEXT),
    Column("BillingAccountName", ColumnKind.TEXT, is_required=False),
    Column("BillingCurrency", ColumnKind.TEXT),
    Column("BillingPeriodEnd", ColumnKind.TIME),
    Column("BillingPeriodStart", ColumnKind.TIME),
    Column("ChargeCategory", ColumnKind.TEXT),
    Column("ChargeClass", ColumnKind.TEXT, is_required=False),
    Column("ChargeDescription", ColumnKind.TEXT),
    Column("ChargeFrequency", ColumnKind.TEXT),
    Column("ChargePeriodEnd", ColumnKind.TIME),
    Column("ChargePeriodStart", ColumnKind.TIME),
    Column("CommitmentDiscountStatus", ColumnKind.TEXT, is_required=False),
    Column("ConsumedQuantity", ColumnKind.MONEY),
    Column("ConsumedUnit", ColumnKind.TEXT),
    Column("ContractedCost", ColumnKind.MONEY),
    Column("ContractedUnitPrice", ColumnKind.MONEY),
    Column("EffectiveCost", ColumnKind.MONEY),
    Column("InvoiceId", ColumnKind.TEXT, is_required=False),
    Column("InvoiceIssuerName", ColumnKind.TEXT),
    Column("ListCost", ColumnKind.MONEY),
    Column("ListUnitPrice", ColumnKind.MONEY),
    Column("PricingCategory", ColumnKind.TEXT),
    Column("PricingCurrency", ColumnKind.TEXT),
    Column("PricingCurrencyContractedUnitPrice", ColumnKind.MONEY),
    Column("PricingCurrencyEffectiveCost", ColumnKind.MONEY),
    Column("PricingCurrencyListUnitPrice", ColumnKind.MONEY),
    Column("PricingQuantity", ColumnKind.MONEY),
    Column("PricingUnit", ColumnKind.TEXT),
    Column("ProviderName", ColumnKind.TEXT),
    Column("PublisherName", ColumnKind.TEXT),
    Column("ResourceId", ColumnKind.TEXT),
    Column("ResourceName", ColumnKind.TEXT, is_required=False),
    Column("ResourceType", ColumnKind.TEXT),
    Column("ServiceCategory", ColumnKind.TEXT),
    Column("ServiceName", ColumnKind.TEXT),
    Column("ServiceSubcategory", ColumnKind.TEXT),
    Column("SkuId", ColumnKind.TEXT),
    Column("SkuMeter", ColumnKind.TEXT),
    Column("SkuPriceDetails", ColumnKind.TEXT),
    Column("SkuPriceId", ColumnKind.TEXT),
    Column("x_BaseModelId", ColumnKind.TEXT, is_required=False),
    Column("x_ModelId", ColumnKind.TEXT),
    Column("x_PriceBookId", ColumnKind.TEXT),
    Column("x_RollupId", ColumnKind.INTEGER),
    Column("x_RunId", ColumnKind.INTEGER),
)


@dataclass(frozen=True, slots=True)
class Parties:
    """Who sells the service, who makes it, who sends the invoice; and how the service is called."""

    provider: str
    publisher: str
    invoice_issuer: str
    service: str


def focus_layout(parties: Parties) -> Layout:
    """Make the layout with these names."""

    fixed = _fixed_cells(parties)

    def rows(rollup: Rollup) -> Iterable[tuple[Cell, ...]]:
        for charge in _charges(rollup):
            if charge.tokens:
                cells = fixed | _charge_cells(rollup, charge)
                yield tuple(cells[column.name] for column in _COLUMNS)

    return Layout(_COLUMNS, rows)


def _charges(rollup: Rollup) -> tuple[Charge, ...]:
    return (
        Charge("prompt", _tokens(rollup, "billable_prompt_tokens"), _rate(rollup, "applied_prompt_rate")),
        Charge("cached", _tokens(rollup, "cached_tokens"), _rate(rollup, "applied_cached_rate")),
        Charge("completion", _tokens(rollup, "completion_tokens"), _rate(rollup, "applied_completion_rate")),
    )


def _charge_cells(rollup: Rollup, charge: Charge) -> dict[str, Cell]:
    meter, description = _TOKENS[charge.kind]
    model, hour, tokens = rollup["model_id"], rollup["window_start"], Decimal(charge.tokens).quantize(_TENTH)
    assert isinstance(hour, datetime)
    month = hour.astimezone(UTC).replace(day=1, hour=0)
    sku = f"{model}/{charge.kind}"
    return {
        **dict.fromkeys(_COSTS, charge.amount),
        **dict.fromkeys(_UNIT_PRICES, charge.rate),
        **dict.fromkeys(_QUANTITIES, tokens),
        "BillingAccountId": rollup["auth_id"],
        "BillingPeriodStart": month,
        "BillingPeriodEnd": (month + _MONTH_MAX).replace(day=1),
        "ChargePeriodStart": hour,
        "ChargePeriodEnd": rollup["window_end"],
        "ChargeDescription": f"{model}: {description}",
        "ResourceId": rollup["resource_id"],
        "SkuId": sku,
        "SkuMeter": meter,
        # The same price has the same id in every price file and for everybody.
        "SkuPriceId": f"{sku}@{decimal_text(charge.rate)}",
        "SkuPriceDetails": dumps({"x_ModelId": model, "x_TokenKind": charge.kind}),
        "x_BaseModelId": rollup["base_model"],
        "x_ModelId": model,
        "x_PriceBookId": rollup["price_book"],
        "x_RollupId": rollup["id"],
        "x_RunId": rollup["run"],
    }


def _fixed_cells(parties: Parties) -> dict[str, Cell]:
    return {
        "BillingAccountName": None,
        **dict.fromkeys(("BillingCurrency", "PricingCurrency"), "USD"),
        "ChargeCategory": "Usage",
        # An export always has the whole hour as it is billed now, and no corrections to earlier exports.
        "ChargeClass": None,
        "ChargeFrequency": "Usage-Based",
        "CommitmentDiscountStatus": None,
        "ConsumedUnit": _UNIT,
        "InvoiceId": None,
        "InvoiceIssuerName": parties.invoice_issuer,
        "PricingCategory": "Standard",
        "PricingUnit": _UNIT,
        "ProviderName": parties.provider,
        "PublisherName": parties.publisher,
        "ResourceName": None,
        "ResourceType": "Model Deployment",
        "ServiceCategory": "AI and Machine Learning",
        "ServiceName": parties.service,
        "ServiceSubcategory": "Generative AI",
    }


def _tokens(rollup: Rollup, name: str) -> int:
    tokens = rollup[name]
    assert isinstance(tokens, int)
    return tokens


def _rate(rollup: Rollup, name: str) -> Decimal:
    rate = rollup[name]
    assert isinstance(rate, Decimal)
    return rate
