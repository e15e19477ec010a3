"""Whether a request can be billed: which model is meant, whose name that is, and whether usage will come."""

from dataclasses import replace

from phoebe_addon.gate.refusal import Refusal, RefusalReason
from phoebe_addon.gate.request_body import RequestBody
from phoebe_addon.gate.unbillable import ADAPTER, UNNAMED_MODEL, refused_as
from phoebe_addon.gate.upstreams import Upstream


def check_billing(body: RequestBody, upstream: Upstream, allowed: frozenset[str]) -> RequestBody | Refusal:
    """Refuse what can't be billed. Returns the body with the name under which an adapter is billed.

    allowed: the kinds of requests that the operator lets through although they can't be.
    """
    refusal = _check_models(body, upstream) or _check_usage(body, allowed)
    if refusal:
        return refusal
    named = _with_adapter(body, upstream, allowed)
    if isinstance(named, Refusal) or named.billed_model:
        return named
    return _check_naming(body, upstream, allowed) or body


def _check_models(body: RequestBody, upstream: Upstream) -> Refusal | None:
    """Refuse a request for a model that the resource does not declare, if it declares any.

    Neither may it let another one work beside. A request that names none means the only one, or leaves the
    choice to an engine that serves but one.
    """
    served, engine = upstream.models, upstream.engine
    named = (*body.models, *body.further_models)
    undeclared = next((model for model in named if engine.declared_name(model, served) is None), None)
    missing = not body.models and body.family.request.names_model and len(served) > 1
    if not served or (undeclared is None and not missing):
        return None
    return Refusal(
        404,
        RefusalReason.MODEL_NOT_SERVED,
        f"The model {(undeclared or '')[:256]!a} is not served by this resource.",
    )


def _check_usage(body: RequestBody, allowed: frozenset[str]) -> Refusal | None:
    found = next((each for each in body.unbillable if each.name not in allowed), None)
    return refused_as(found.name, found.why) if found else None


def _check_naming(body: RequestBody, upstream: Upstream, allowed: frozenset[str]) -> Refusal | None:
    """Refuse a request whose answer names no model, unless the resource declares exactly one.

    The client's own word would not be billed.
    """
    if len(upstream.models) == 1 or UNNAMED_MODEL in allowed:
        return None
    may_be_named = any(family.answer.models for family in body.families)
    if may_be_named and body.family.api not in upstream.engine.nameless_apis:
        return None
    return refused_as(
        UNNAMED_MODEL,
        "the model server's answer names no model, and this resource does not declare exactly one",
    )


def _with_adapter(body: RequestBody, upstream: Upstream, allowed: frozenset[str]) -> RequestBody | Refusal:
    if not body.adapters:
        return body
    name = body.adapters[0] if len(body.adapters) == 1 else None
    if name in upstream.models:
        return replace(body, billed_model=name)
    if ADAPTER in allowed:
        return body
    return refused_as(
        ADAPTER,
        "it chooses an adapter, which would be billed as the model below it; ask for it as a model of its "
        "own, or have it declared among the resource's models",
    )
