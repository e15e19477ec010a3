"""Traffic, latency, spools: whether requests are served and recorded."""

from dashboards.panels import GOOD_OR_BAD, Json, lines, per_minute, quantiles, rate, stat, steps
from dashboards.process import process

CHOSEN = 'job=~"$job", instance=~"$instance"'
# Refusals that are Phoebe's own fault, not that of clients, the edge or engines.
OWN = f'reason=~"not_durable|not_ready|busy|internal", {CHOSEN}'

ROWS: list[tuple[str, list[Json]]] = [
    (
        "Is it well?",
        [
            stat(
                "Proxies up",
                "short",
                "Targets that Prometheus can read.",
                f"sum(up{{{CHOSEN}}})",
                GOOD_OR_BAD,
            ),
            stat(
                "Refused for our own reasons",
                "percentunit",
                "Of the requests of an hour, those that were refused because of disk, spool, load, "
                "start and stop, or a "
                "bug. The objective is 0.1 % over 30 days.",
                f"sum(rate(phoebe_exchanges_refused_total{{{OWN}}}[1h])) / "
                f"(sum(rate(phoebe_exchanges_refused_total{{{OWN}}}[1h])) + "
                f"(sum(rate(phoebe_exchanges_admitted_total{{{CHOSEN}}}[1h])) or vector(0)))",
                steps(0.001, 0.0144),
                decimals=2,
                noValue="no traffic",
            ),
            stat(
                "The rater answers",
                "bool_yes_no",
                "All proxies get answers of the rater. If not, events wait in the spool, and traffic goes "
                "on.",
                f"min(phoebe_rater_up{{{CHOSEN}}})",
                GOOD_OR_BAD,
            ),
            stat(
                "Fullest spool",
                "percentunit",
                "At 100 % new requests get 503.",
                f"max(phoebe_spool_bytes{{{CHOSEN}}} / phoebe_spool_limit_bytes{{{CHOSEN}}})",
                steps(0.1, 0.5),
            ),
            stat(
                "Oldest event waits",
                "s",
                "Events are delivered within a second while the rater works.",
                f"time() - min(phoebe_spool_oldest_event_timestamp_seconds{{{CHOSEN}}} > 0)",
                steps(60, 900),
                noValue="none waits",
            ),
            stat(
                "Answers without usage, 1 h",
                "short",
                "They can't be billed. Run `phoebe conformance` against the resource.",
                f"sum(increase(phoebe_usage_missing_total{{{CHOSEN}}}[1h])) or vector(0)",
                steps(1),
                decimals=0,
            ),
        ],
    ),
    (
        "Traffic",
        [
            lines(
                "Admitted",
                "reqps",
                "Each makes one event.",
                rate("phoebe_exchanges_admitted_total", CHOSEN, "api"),
                stacked=True,
            ),
            lines(
                "Refused",
                "reqps",
                "By reason. `identity`, `bad_body` and the like are what clients or the edge do wrong.",
                rate("phoebe_exchanges_refused_total", CHOSEN, "reason"),
            ),
            lines(
                "Ended",
                "reqps",
                "By outcome.",
                rate("phoebe_exchanges_ended_total", CHOSEN, "outcome"),
                stacked=True,
            ),
            lines(
                "Under way",
                "short",
                "Begun and not ended. `phoebe_exchanges_max` bounds them.",
                (f"phoebe_exchanges_under_way{{{CHOSEN}}}", "{{instance}}"),
            ),
            lines(
                "Tokens",
                "short",
                "A second, as engines reported them. Cached and reasoning tokens are parts of input and "
                "output: never add them up.",
                rate("phoebe_tokens_total", CHOSEN, "kind"),
            ),
            lines(
                "Besides",
                "reqps",
                "What makes no event: free routes, answers to OPTIONS, connections beyond the limit.",
                (f"sum(rate(phoebe_exchanges_free_total{{{CHOSEN}}}[$__rate_interval]))", "free"),
                (f"sum(rate(phoebe_preflights_total{{{CHOSEN}}}[$__rate_interval]))", "OPTIONS"),
                (
                    f"sum(rate(phoebe_connections_refused_total{{{CHOSEN}}}[$__rate_interval]))",
                    "connections refused",
                ),
            ),
        ],
    ),
    (
        "Latency",
        [
            lines(
                "Duration of exchanges",
                "s",
                "From the first byte of a request to the end; mostly the engine's time.",
                *quantiles("phoebe_exchange_duration_seconds", CHOSEN),
                width=6,
            ),
            lines(
                "Time to the first byte",
                "s",
                "Of the answer's body; mostly the engine's time.",
                *quantiles("phoebe_time_to_first_byte_seconds", CHOSEN),
                width=6,
            ),
            lines(
                "Phoebe's own: checks of a request",
                "s",
                "Head and body, and the turns that long bodies wait for.",
                *quantiles("phoebe_gate_duration_seconds", CHOSEN),
                width=6,
            ),
            lines(
                "Phoebe's own: to disk",
                "s",
                "A transaction of the spool. It is the disk's time, and serves many exchanges.",
                *quantiles("phoebe_spool_commit_duration_seconds", CHOSEN),
                width=6,
            ),
        ],
    ),
    (
        "Is it billed?",
        [
            lines(
                "Completed without usage",
                "short",
                "A minute, by resource: lost revenue.",
                per_minute("phoebe_usage_missing_total", CHOSEN, "resource"),
            ),
            lines(
                "Not completed, with output, without usage",
                "short",
                "A minute: clients were given a part of the answer, and the engine said nothing of usage.",
                per_minute("phoebe_exchanges_aborted_with_output_total", CHOSEN, "api"),
            ),
            lines(
                "Answers that are amiss",
                "short",
                "A minute: the model may be the client's own word; counts are not whole numbers; the "
                "answer can't be read.",
                (
                    f"sum(rate(phoebe_model_untrusted_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "model untrusted",
                ),
                (
                    f"sum(rate(phoebe_usage_malformed_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "usage malformed",
                ),
                (
                    f"sum(rate(phoebe_answers_unreadable_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "unreadable",
                ),
            ),
        ],
    ),
    (
        "Spool and delivery",
        [
            lines(
                "Spool",
                "bytes",
                "Beyond its limit new requests get 503.",
                (f"phoebe_spool_bytes{{{CHOSEN}}}", "{{instance}}"),
                (f"min(phoebe_spool_limit_bytes{{{CHOSEN}}})", "smallest limit"),
            ),
            lines(
                "Events that wait",
                "short",
                "For the rater.",
                (f"phoebe_spool_events{{{CHOSEN}}}", "{{instance}}"),
            ),
            lines(
                "Free disk of the spool",
                "bytes",
                "At 0 nothing can be recorded, and requests get 503.",
                (f"phoebe_spool_free_disk_bytes{{{CHOSEN}}}", "{{instance}}"),
            ),
            lines(
                "Delivered",
                "short",
                "Events a second, by what the rater made of them. `conflict` and `rejected` are kept "
                "aside there.",
                rate("phoebe_events_delivered_total", CHOSEN, "outcome"),
            ),
            lines(
                "Attempts to deliver that failed",
                "short",
                "A minute, by reason.",
                per_minute("phoebe_deliveries_failed_total", CHOSEN, "reason"),
            ),
            lines(
                "Lost, damaged, misdirected",
                "short",
                "Events that can't be read any more; files that were set aside; spools that belong to "
                "another installation.",
                (f"sum(phoebe_spool_events_lost{{{CHOSEN}}})", "events lost"),
                (f"sum(phoebe_spool_files_damaged{{{CHOSEN}}})", "files damaged"),
                (f"sum(phoebe_spools_misdirected{{{CHOSEN}}})", "spools misdirected"),
            ),
        ],
    ),
    process(CHOSEN),
]
