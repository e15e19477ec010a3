"""What each line of the log is called, for programs that search it: the field `event` of a line as JSON.

Words of a line may change, its event does not. docs/watching.md lists what they mean.
"""

from phoebe_runtime.log_events import TROUBLE, Events, naming

EVENTS: Events = {
    "console.faults": {
        "the console can't use the database: %s": "console.database",
        "the role of the console lacks a right in the database: %s": "console.right_missing",
    },
    "console.serving": {
        "console on %s://%s:%d/": "console.started",
    },
    "console.sign_in": {
        "the console refused a token from %s": "console.refused",
    },
    "console.streamed_table": {
        "a download is broken off: %s": "console.download_broken",
    },
    "database.database": {
        "the database is %s; psql '%s'": "database.embedded",
        (
            "the database allows no more sessions than there are (%s): calls wait for each other. "
            "Allow more, or set --db-connections to what it allows"
        ): "database.sessions_short",
        "sessions with the database did not end in %d seconds; cut off": "database.sessions_cut_off",
        "a session was lost as it was given back: %s": "database.session_lost",
    },
    "database.numbers": {
        (
            "this role may not see which numbers new rows of %s will get: whether they are behind "
            "those that are there, as after a restore of single tables, is not checked; "
            "docs/roles.md says which rights it needs"
        ): "database.numbers_unknown",
    },
    "database.schema": {
        "the database schema, %s, is of a later version; it is only expanded": "schema.later",
    },
    "database.standby_conflicts": {
        "the standby has cancelled a read, which is tried again: %s": "database.read_again",
    },
    "events.model_names": {
        (
            "auth_id %s has used more than %d models in the hour %s: usage of further ones without a "
            "price is summed as %s. Probably a client invents names; every run over the hour says "
            "TOO_MANY_MODELS"
        ): "usage.too_many_models",
    },
    "events.partitions": {
        "made partitions: %s": "partitions.made",
        (
            "not made, as billing_event_default holds more than %d of their events, which stay there: %s"
        ): "partitions.not_made",
        (
            "this role may not make partitions for coming weeks (%s): run `phoebe migrate` as the "
            "owner of stored_event every %d weeks; events of weeks without one go to "
            "billing_event_default"
        ): "partitions.not_made",
        "no partitions were made for coming weeks, which will be tried again: %s": "partitions.not_made",
    },
    "events.patterns": {
        (
            "the database lacks %s of events that it had: it is in an earlier state, perhaps on "
            "a standby that took over; the events are stored without them"
        ): "patterns.lost",
        ("event_pattern is full: what else events have in common is kept in each of them"): "patterns.full",
    },
    "events.slots": {
        "the sums of hours before %s were not moved, which will be tried again: %s": "sums.not_moved",
    },
    "prices.watch": {
        "THE PRICE FILE %s %s": "prices.not_latest",
        "%s": "prices.told",
        "the price file %s is what was loaded last again": "prices.latest",
        "which price file was loaded last can't be asked: %s": "prices.not_compared",
    },
    "rating.findings": {
        "%s: set it right, by NTP": "clock.skewed",
    },
    "rating.other_models": {
        "summed under models that have got a price since: usage of %s": "run.models_priced",
    },
    "rating.rating": {
        "run %d took late usage along, %s to %s: %s in all, bills changed by %s USD": "run.late_usage",
        "run %d, %s to %s: %s": "run.anomaly",
        (
            "run %d, %s to %s: not billed: %s of %s without usage, given to %s; most of it: %s, %s. %s"
        ): "run.unbilled_output",
        "someone else changed what a run was about to change: it starts over": "run.repeated",
    },
    "service.call_guard": {
        "refused %s, calling %s: %s: %s%s": "call.refused",
        "%s calls %s": "call.answered",
    },
    "service.clock_watch": {
        "%s: set it right, by NTP; its events are billed in the hours that its clock says": "clock.skewed",
    },
    "service.database_watch": {
        **dict.fromkeys(TROUBLE, "database.trouble"),
        "the database runs with %s = off: %s; switch it on": "database.setting_unsafe",
    },
    "service.door": {
        (
            "turned away a spool of the installation %s, from %s: this database is the installation "
            "%s, and nothing was stored. Set phoebe_rater of that proxy to the rater of its "
            "installation; if this database continues that one, run `phoebe installation set %s`"
        ): "delivery.turned_away",
    },
    "service.metering": {
        "kept %s aside, the first with request_id %r: %s": "event.kept_aside",
        "the status of a producer is left out: %s": "status.refused",
    },
    "service.metrics": {
        "the gauges can't be read from the database: %s": "metrics.not_fresh",
    },
    "service.metrics_endpoint": {
        "metrics on http://%s:%d/metrics": "metrics.started",
    },
    "service.protection": {
        "without --tokens every certificate of the authorities in %s has all rights": "access.open",
    },
    "service.reads": {
        **dict.fromkeys(TROUBLE, "database.standby"),
    },
    "service.rpc_errors": {
        "%s": "call.right_missing",
        "a call failed: the database can't be used: %s": "call.database",
        "calls can't be answered until this is mended: %s": "call.operator_needed",
        "a call failed in an unexpected way": "call.failed",
    },
    "service.scheduled_rating": {
        "run %d rated %s to %s: %s, %s written, total %s USD": "run.scheduled",
        "the scheduled run of %s is done: run %d": "run.done_already",
        "the scheduled run of %s failed and will be tried again: %s": "run.failed",
    },
    "service.server": {
        "the database is the installation %s": "rater.installation",
        "the database is %s on %s, PostgreSQL %s, as the role %s": "rater.database",
        "prices loaded earlier: %s": "prices.loaded",
        "stopping": "rater.stopping",
        "listening on %s:%d": "rater.started",
    },
    "service.standing_watch": {
        **dict.fromkeys(TROUBLE, "rater.trouble"),
    },
}
"""By the module that writes a line, and by its words before anything is put into them."""

event_of = naming("rater_service", EVENTS)
"""Give the event of a line; None: it is not one of ours."""
