"""The price file, version 1: YAML bytes in, a price book out, or everything that is wrong with them."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256

from rater_service.money import Rates, billed_rate, decimal_text, rounds_badly
from rater_service.other_models import OTHER_MODELS
from rater_service.prices.faults import Fault, PriceFileError, shown
from rater_service.prices.fields import FieldPlace, FieldReader
from rater_service.prices.file_yaml import (
    Entry,
    Mapping,
    Node,
    Refused,
    Scalar,
    Sequence,
    last_line,
    read_tree,
)
from rater_service.prices.pricebook import (
    FINE_TUNE_PREFIX,
    NOTHING_ALLOWED,
    Allowed,
    DerivedFineTune,
    FineTune,
    Identity,
    Markup,
    Multiplier,
    OwnRateFineTune,
    Premium,
    PriceBook,
)
from rater_service.prices.values import amount, factor, rate, text, whole_hour

__all__ = ["Fault", "LoadedPriceFile", "PriceFileError", "parse_price_file"]

_FILE_BYTES_MAX = 16 * 1024 * 1024  # some hundred thousand models; checking more would take minutes
_COMPONENTS = ("prompt", "cached", "completion")
_PREMIUM_PARAMETER = {"identity": None, "multiplier": "factor", "markup": "markup"}


@dataclass(frozen=True, slots=True)
class LoadedPriceFile:
    """A price book, what is worth a warning about it, and where the file says what.

    lines: on which it names each model. last_lines: of models of which more lines follow. premium_lines: the
    first and the last one of the premium of fine-tunes; None: it names none.
    """

    book: PriceBook
    warnings: tuple[Fault, ...]
    lines: dict[str, int]
    last_lines: dict[str, int]
    premium_lines: tuple[int, int] | None


def parse_price_file(content: bytes, source: str) -> LoadedPriceFile:
    """Check a price file whole and make a price book of it.

    `source` names the file in errors. Raises PriceFileError with all faults; nothing is ever half loaded.
    Warns of rates that change by more than 0.1 % when they are rounded to 9 decimals, as they stand and
    after the premium.
    """
    reader = _PriceFileReader()
    book = reader.book(content)
    if book is None or reader.read.faults:
        raise PriceFileError(source, _by_line(reader.read.faults))
    return LoadedPriceFile(
        book, _by_line(reader.warnings), reader.lines, reader.last_lines, reader.premium_lines
    )


def _by_line(faults: list[Fault]) -> tuple[Fault, ...]:
    return tuple(sorted(faults, key=lambda fault: fault.line or 0))


class _PriceFileReader:
    """Reads one file, collecting faults; what it could not read is None or left out."""

    def __init__(self) -> None:
        self.read = FieldReader()
        self.warnings: list[Fault] = []
        self.lines: dict[str, int] = {}
        self.last_lines: dict[str, int] = {}
        self.premium_lines: tuple[int, int] | None = None

    def book(self, content: bytes) -> PriceBook | None:
        root = self._root(content)
        if root is None:
            return None
        known = (
            "version",
            "base_models",
            "fine_tune_premium",
            "fine_tunes",
            "gpu_floor_rates",
            "effective_from",
            "allow",
        )
        sections = self.read.fields(root, FieldPlace(), required=("version", "base_models"), known=known)
        self._version(sections.get("version"))
        for entry in root.entries if isinstance(root, Mapping) else ():
            if entry.key == "fine_tune_premium":
                self.premium_lines = entry.line, last_line(entry.value)
        base_models = self._base_models(sections.get("base_models"))
        premium = self._premium(sections.get("fine_tune_premium"))
        self._check_premium(premium, base_models)
        fine_tunes = self._fine_tunes(sections.get("fine_tunes"), sections.get("base_models"))
        return PriceBook(
            content_hash=sha256(content).hexdigest(),
            content=content,
            base_models=base_models,
            fine_tunes=fine_tunes,
            premium=premium,
            gpu_floor_rates=self._gpu_floor_rates(sections.get("gpu_floor_rates")),
            effective_from=self._effective_from(sections.get("effective_from")),
            allowed=self._allowed(sections.get("allow"), {*base_models, *fine_tunes}),
        )

    def _note_lines(self, entry: Entry) -> None:
        self.lines[entry.key] = entry.line
        last = last_line(entry.value)
        if last > entry.line:
            self.last_lines[entry.key] = last

    def _root(self, content: bytes) -> Node | None:
        if len(content) > _FILE_BYTES_MAX:
            self.read.fault(None, f"the file is larger than {_FILE_BYTES_MAX:,} bytes")
            return None
        try:
            return read_tree(content.decode(), self.read.faults)
        except UnicodeDecodeError as error:
            self.read.fault(content[: error.start].count(b"\n") + 1, "not UTF-8 text; save the file as UTF-8")
            return None

    def _version(self, node: Node | None) -> None:
        if node is None or isinstance(node, Refused):
            return
        if not isinstance(node, Scalar) or node.quoted or node.text != "1":
            self.read.fault(node.line, "the version must be 1, without quotes", FieldPlace(field="version"))

    def _base_models(self, node: Node | None) -> dict[str, Rates]:
        place = FieldPlace(field="base_models")
        base_models: dict[str, Rates] = {}
        for entry in self.read.named_entries(node, place, _model_place):
            model = _model_place(entry.key)
            self._note_lines(entry)
            if entry.key.startswith(FINE_TUNE_PREFIX):
                self.read.fault(entry.line, "a fine-tune is not a base model; move it to fine_tunes", model)
            elif entry.key == OTHER_MODELS:
                self.read.fault(
                    entry.line, "the name stands for usage of several models; take another", model
                )
            elif (rates := self._rates(entry.value, model)) is not None:
                base_models[entry.key] = rates
        if isinstance(node, Mapping) and not node.entries:
            self.read.fault(node.line, "there are no base models; give at least one", place)
        return base_models

    def _fine_tunes(self, node: Node | None, base_models: Node | None) -> dict[str, FineTune]:
        bases = {entry.key for entry in base_models.entries} if isinstance(base_models, Mapping) else set()
        fine_tunes: dict[str, FineTune] = {}
        for entry in self.read.named_entries(node, FieldPlace(field="fine_tunes"), _model_place):
            if not entry.key.startswith(FINE_TUNE_PREFIX):
                message = f"the name of a fine-tune starts with {shown(FINE_TUNE_PREFIX)}"
                self.read.fault(entry.line, message, _model_place(entry.key))
            elif (fine_tune := self._fine_tune(entry, bases)) is not None:
                self._note_lines(entry)
                fine_tunes[entry.key] = fine_tune
        return fine_tunes

    def _fine_tune(self, entry: Entry, bases: set[str]) -> FineTune | None:
        place = _model_place(entry.key)
        fields = self.read.fields(entry.value, place, required=(), known=("derived_from", "rate"))
        if isinstance(entry.value, Mapping) and len(fields) != 1:
            found = "both derived_from and rate" if fields else "neither derived_from nor rate"
            self.read.fault(entry.line, f"has {found}; give exactly one", place)
            return None
        if "rate" in fields:
            rates = self._rates(fields["rate"], place.member("rate"))
            return OwnRateFineTune(rates) if rates is not None else None
        if "derived_from" in fields:
            return self._derived(fields["derived_from"], place.member("derived_from"), bases)
        return None

    def _derived(self, node: Node, place: FieldPlace, bases: set[str]) -> FineTune | None:
        base = self.read.value(text, node, place)
        if base is None:
            return None
        if base.startswith(FINE_TUNE_PREFIX):
            self.read.fault(
                node.line, f"{shown(base)} is a fine-tune; name the base model it comes from", place
            )
        elif base not in bases:
            self.read.fault(node.line, f"{shown(base)} is not one of base_models; give it rates there", place)
        return DerivedFineTune(base)

    def _premium(self, node: Node | None) -> Premium:
        place = FieldPlace(field="fine_tune_premium")
        if node is None:
            return Identity()
        fields = self.read.fields(node, place, required=("policy",), known=("policy", "factor", "markup"))
        if "policy" not in fields:
            return Identity()
        policy = self.read.value(text, fields["policy"], place.member("policy"))
        if policy is None:
            return Identity()
        if policy not in _PREMIUM_PARAMETER:
            message = f"{shown(policy)} is not a policy; choose identity, multiplier or markup"
            self.read.fault(fields["policy"].line, message, place.member("policy"))
            return Identity()
        return self._premium_of(policy, fields, place)

    def _premium_of(self, policy: str, fields: dict[str, Node], place: FieldPlace) -> Premium:
        wanted = _PREMIUM_PARAMETER[policy]
        for name in fields.keys() - {"policy", wanted}:
            self.read.fault(fields[name].line, f"does not belong to the policy {policy}", place.member(name))
        if wanted is None:
            return Identity()
        if wanted not in fields:
            self.read.fault(fields["policy"].line, f"the policy {policy} needs it", place.member(wanted))
            return Identity()
        read = factor if policy == "multiplier" else amount
        value = self.read.value(read, fields[wanted], place.member(wanted))
        if value is None:
            return Identity()
        return Multiplier(value) if policy == "multiplier" else Markup(value)

    def _check_premium(self, premium: Premium, base_models: dict[str, Rates]) -> None:
        if isinstance(premium, Identity):
            return
        for model, rates in base_models.items():
            derived = premium.apply(rates).by_component()
            for component, base in rates.by_component().items():
                exact, place = derived[component], FieldPlace(model, component)
                after = f"after the premium ({premium.describe()}) "
                if base and not billed_rate(exact):
                    message = f"{after}{decimal_text(exact)} rounds to zero at 9 decimals; raise one of them"
                    self.read.fault(self.lines[model], message, place)
                else:
                    self._warn_of_rounding(self.lines[model], exact, place, after)

    def _gpu_floor_rates(self, node: Node | None) -> dict[str, Decimal]:
        place = FieldPlace(field="gpu_floor_rates")
        read = {
            entry.key: self._rate(entry.value, place.member(entry.key))
            for entry in self.read.named_entries(node, place, place.member)
        }
        return {name: value for name, value in read.items() if value is not None}

    def _effective_from(self, node: Node | None) -> datetime | None:
        return None if node is None else self.read.value(whole_hour, node, FieldPlace(field="effective_from"))

    def _allowed(self, node: Node | None, models: set[str]) -> Allowed:
        if node is None:
            return NOTHING_ALLOWED
        place = FieldPlace(field="allow")
        fields = self.read.fields(node, place, required=(), known=("rates", "changes"))
        return Allowed(
            **{name: self._allowed_names(value, place.member(name), models) for name, value in fields.items()}
        )

    def _allowed_names(self, node: Node, place: FieldPlace, models: set[str]) -> frozenset[str]:
        if not isinstance(node, Sequence):
            if not isinstance(node, Refused):
                self.read.fault(node.line, "must be a list of names of models", place)
            return frozenset()
        named: set[str] = set()
        for item in node.items:
            name = self.read.value(text, item, place)
            if name is None:
                continue
            if name in named:
                self.read.fault(item.line, f"names {shown(name)} twice", place)
            elif name not in models:
                self.read.fault(item.line, f"{shown(name)} is no model that this file names", place)
            named.add(name)
        return frozenset(named)

    def _rates(self, node: Node, place: FieldPlace) -> Rates | None:
        fields = self.read.fields(node, place, required=_COMPONENTS, known=_COMPONENTS)
        read = {name: self._rate(value, place.member(name)) for name, value in fields.items()}
        prompt, cached, completion = (read.get(name) for name in _COMPONENTS)
        if prompt is None or cached is None or completion is None:
            return None
        return Rates(prompt, cached, completion)

    def _rate(self, node: Node, place: FieldPlace) -> Decimal | None:
        value = self.read.value(rate, node, place)
        if value is not None:
            self._warn_of_rounding(node.line, value, place)
        return value

    def _warn_of_rounding(self, line: int, exact: Decimal, place: FieldPlace, after: str = "") -> None:
        if rounds_badly(exact):
            billed = decimal_text(billed_rate(exact))
            message = f"{after}{decimal_text(exact)} is billed as {billed}, which differs by more than 0.1 %"
            self.warnings.append(Fault(line, place.model, place.field, message))


def _model_place(model: str) -> FieldPlace:
    return FieldPlace(model=model)
