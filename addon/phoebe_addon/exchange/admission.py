"""What is known of an exchange when it is admitted: all that its event says but for the answer."""

from dataclasses import dataclass
from datetime import datetime

from phoebe_addon.answer.reader import RequestFacts
from phoebe_addon.answer.removal import Removal
from phoebe_addon.apis.family import Family
from phoebe_addon.gate.gate import Pass
from phoebe_addon.gate.identity import Identity
from phoebe_addon.gate.request_body import RequestBody


@dataclass(frozen=True, slots=True)
class Admission:
    """What was known when the exchange was admitted. Times are UTC.

    families: those of the request first, then others whose answers its path may give. served_models: the
    only models the resource is declared to serve; empty: any. billed_model: the name that is billed, whatever
    the answer says; None: the answer's. trace_id: of the trace it is a part of; "": not known.
    """

    request_id: str
    client_request_id: str | None
    identity: Identity
    families: tuple[Family, ...]
    requested_model: str | None
    request_facts: RequestFacts
    removal: Removal
    served_models: tuple[str, ...]
    start_time: datetime
    billed_model: str | None = None
    trace_id: str = ""

    @property
    def api(self) -> str:
        """The API family of the request."""
        return self.families[0].api


def admission_of(  # noqa: PLR0913 - one for each thing that is known of it
    passed: Pass,
    body: RequestBody,
    *,
    request_id: str,
    client_request_id: str | None,
    start_time: datetime,
    trace_id: str = "",
) -> Admission:
    """Make the admission of a request whose head and body are in order.

    request_id: minted for it, never the client's. client_request_id: the client's own; None: it gave none.
    start_time: when the request began to arrive, UTC. trace_id: of the trace it is a part of; "": not known.
    """
    others = tuple(family for family in passed.match.route.families if family not in body.families)
    return Admission(
        request_id=request_id,
        client_request_id=client_request_id,
        identity=passed.identity,
        families=(*body.families, *others),
        requested_model=body.models[-1] if body.models else None,
        request_facts=RequestFacts(body.prompts, body.samples, passed.upstream.engine),
        removal=Removal(body.added_switches),
        served_models=passed.upstream.models,
        start_time=start_time,
        billed_model=body.billed_model,
        trace_id=trace_id,
    )
