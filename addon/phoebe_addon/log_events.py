"""What each line of the log is called, for programs that search it: the field `event` of a line as JSON.

Words of a line may change, its event does not. docs/watching.md lists what they mean.
"""

from phoebe_runtime.log_events import TROUBLE, Events, naming

EVENTS: Events = {
    "addon": {
        "phoebe: %s": "engine.unasked_bytes",
        "phoebe: a connection was closed: %d are open": "connection.refused",
        "phoebe: the gate failed; the request is refused": "request.failed",
        "phoebe: the admission failed; the request is refused": "request.failed",
    },
    "delivery.adoption": {
        "phoebe: adopted the spool of a process that is gone: producer %s, %s, %d cut off": "spool.adopted",
        "phoebe: the spool %s is left as it is: %s": "spool.left",
        "phoebe: no spool can be adopted now: %s": "spool.not_adopted",
    },
    "delivery.delivery": {
        "phoebe: the spool belongs to the installation %s now": "spool.bound",
        "phoebe: the rater kept event %s aside: %s": "event.kept_aside",
    },
    "delivery.trouble": {
        "phoebe: %s%s: %s": "delivery.failing",
        "phoebe: the rater at %s takes events again, after %s": "delivery.works",
    },
    "lifecycle": {
        "phoebe: metering as %s; spool %s, rater %s": "proxy.started",
        "phoebe: %s: it does nothing": "option.unknown",
        "phoebe: %s": "proxy.options",
        "phoebe: what clients are shown: %s": "certificate.ends",
        (
            "phoebe: lean: addons are asked only for the hooks they have (phoebe_lean=false: for all)"
        ): "proxy.lean",
        "phoebe: stopping: requests are served for %g seconds more": "proxy.stopping",
        "phoebe: HTTP/3 is turned off: no UDP is listened on": "proxy.without_http3",
    },
    "meter": {
        "phoebe: cut off by the last stop: %s": "spool.recovered",
        "phoebe: the resource %a: %s": "resource.suspect",
        (
            "phoebe: the resource %a answers without usage, which is on no bill; "
            "`phoebe conformance URL` says what its engine lacks"
        ): "usage.missing",
        "phoebe: event %s: %s, and its engine has said nothing of usage; not billed: %s": "usage.not_told",
        "phoebe: event %s: the engine's usage has a bad count": "usage.malformed",
        (
            "phoebe: event %s: of %s the engine's usage has no name or a bad count; "
            "it is recorded and not billed"
        ): "usage.malformed",
        "phoebe: event %s: the engine's answer can't be read": "answer.unreadable",
        "phoebe: event %s is not in the spool": "event.not_spooled",
        "phoebe: left in the spool for the next start: %s": "spool.not_empty",
        "phoebe: event %s: details of the engine's usage can't be read: %s": "usage.malformed",
    },
    "proxy.leaving": {
        "phoebe: an answer can't be read; its engine is cut off": "answer.failed",
        "phoebe: the end of an answer can't be read": "answer.failed",
    },
    "proxy.log_output": {
        "phoebe: refused %d %s: %s": "request.refused",
    },
    "proxy.stopping": {
        "phoebe: stopping: what is under way has %g seconds": "proxy.draining",
        "phoebe: what is still under way is cut off": "proxy.cut_off",
        "phoebe: told again to stop: what is under way is cut off": "proxy.cut_off",
        "phoebe: stopping in order failed": "proxy.drain_failed",
    },
    "proxy.watched_answer": {
        "phoebe: an answer can't be read; it is passed on as it is": "answer.failed",
    },
    "spool.folder": {
        (
            "phoebe: the spool file %s is left alone, and nothing of it is delivered: %s. Remove it "
            "if it is not Phoebe's"
        ): "spool.left",
    },
    "spool.opening": {
        "phoebe: the spool file %s is damaged: %s": "spool.damaged",
        "phoebe: the damaged spool file is kept as %s; read from it: %s, lost: %d": "spool.set_aside",
        "phoebe: to which installation those events belong can't be read from it": "spool.damaged",
        "phoebe: an admission in the spool file %s is damaged": "spool.damaged",
    },
    "spool.spool": {
        **dict.fromkeys(TROUBLE, "spool.full"),
        "phoebe: an event in the spool is damaged; it is set aside, place %d": "spool.damaged",
    },
    "spool.spools": {
        (
            "phoebe: moved from the installation %s to the installation %s: %s of the producer %s; tell the "
            "former with `phoebe producers retire`"
        ): "spool.moved",
        "phoebe: %s": "spool.left",
        "phoebe: the spool %s can't be adopted now: %s": "spool.not_adopted",
    },
    "spool.writer": {
        **dict.fromkeys(TROUBLE, "spool.not_written"),
        "phoebe: a change of the spool can't be made, and is given up": "spool.failed",
        "phoebe: a transaction of the spool can't be measured": "spool.not_measured",
    },
    "workers.inside": {
        "phoebe: `phoebe proxy` is gone: this worker stops": "worker.orphaned",
        "phoebe: the address can't be listened on": "worker.not_started",
        (
            "phoebe: %s can't be used with several workers: all would write to the same file"
        ): "worker.not_started",
    },
    "workers.program": {
        "%s": "workers.given_up",
    },
    "workers.supervisor": {
        "reloading %s, one after the other": "workers.reloading",
        "reloaded: old workers end as soon as their clients have gone over": "workers.reloaded",
        "stopping: %s": "workers.stopping",
        "told again to stop: what is under way is cut off": "workers.cut_off",
        "workers that serve: %d of %d, on %s": "workers.serving",
        "worker %d (process %s) %s; it is started again in %g s": "worker.died",
        "worker %d can't be started: %s": "worker.not_started",
        "worker %d (process %s) %s": "worker.left",
        "worker %d does not come up within %g s": "worker.not_started",
        (
            "the reload is broken off: the new worker %d %s before it served. What it said is above. "
            "The old ones serve on"
        ): "workers.not_reloaded",
    },
}
"""By the module that writes a line, and by its words before anything is put into them."""

event_of = naming("phoebe_addon", EVENTS)
"""Give the event of a line; None: it is not one of ours."""
