"""Money and completeness: whether everything arrived and is on a bill."""

from dashboards.panels import GOOD_OR_BAD, Json, lines, quantiles, rate, stat, steps, table
from dashboards.process import process

CHOSEN = 'job=~"$job", instance=~"$instance"'
NAMED = 'job=~"$job", name=~"$name"'

ROWS: list[tuple[str, list[Json]]] = [
    (
        "Is it billing?",
        [
            stat(
                "Raters up",
                "short",
                "Targets that Prometheus can read.",
                f"sum(up{{{CHOSEN}}})",
                GOOD_OR_BAD,
                width=3,
            ),
            stat(
                "Database",
                "bool_on_off",
                "It takes writes, says every rater.",
                f"min(phoebe_database_up{{{CHOSEN}}})",
                GOOD_OR_BAD,
                width=3,
            ),
            stat(
                "Schema fits",
                "bool_yes_no",
                "`phoebe migrate` of the version that runs makes it fit.",
                f"min(phoebe_migration_current{{{CHOSEN}}})",
                GOOD_OR_BAD,
                width=3,
            ),
            stat(
                "Prices in force",
                "bool_yes_no",
                "Without a price book events are stored and not rated.",
                f"min(phoebe_price_book_in_force{{{CHOSEN}}})",
                GOOD_OR_BAD,
                width=3,
            ),
            stat(
                "Since the last routine run",
                "s",
                "Runs of a CronJob count too.",
                f'time() - max(phoebe_rating_last_success_timestamp_seconds{{mode="routine", {CHOSEN}}})',
                steps(4500, 8100),
                width=3,
                noValue="no run yet",
            ),
            stat(
                "Anomalies, 24 h",
                "short",
                "Runs of this service that found one. `phoebe runs` shows all.",
                f"sum(increase(phoebe_rating_anomalies_total{{{CHOSEN}}}[24h])) or vector(0)",
                steps(1),
                width=3,
                decimals=0,
            ),
            stat(
                "Kept aside",
                "short",
                "Events that break a rule or have another one's id, and are not settled.",
                f"max(phoebe_rejected_events{{{CHOSEN}}})",
                steps(1),
                width=3,
            ),
            stat(
                "Hours with late usage",
                "short",
                "Rated hours whose usage no run has seen, and that no routine run rates.",
                f"max(phoebe_late_usage_hours{{{CHOSEN}}})",
                steps(1),
                width=3,
            ),
        ],
    ),
    (
        "Is it complete?",
        [
            table(
                "Proxies",
                "As the rater knows them, by name. One that is silent and has events keeps hours incomplete.",
                12,
                (
                    f"time() - max by (name) (phoebe_producer_last_seen_timestamp_seconds{{{NAMED}}})",
                    "silent for",
                    "s",
                ),
                (f"max by (name) (phoebe_producer_spooled_events{{{NAMED}}})", "events waiting", "short"),
                (f"max by (name) (phoebe_producer_lag_seconds{{{NAMED}}})", "behind", "s"),
                (f"max by (name) (phoebe_producer_clock_skew_seconds{{{NAMED}}})", "clock ahead", "s"),
            ),
            lines(
                "Behind",
                "s",
                "How long ago each proxy had sent everything. The bill of an hour is complete once all "
                "have passed its end.",
                (f"max by (name) (phoebe_producer_lag_seconds{{{NAMED}}})", "{{name}}"),
                width=12,
            ),
            lines(
                "Waiting in spools",
                "short",
                "By the last word of each proxy.",
                (f"max by (name) (phoebe_producer_spooled_events{{{NAMED}}})", "{{name}}"),
            ),
            lines(
                "On no bill",
                "short",
                "Usage that came after its hour was rated; times that are wrong; what is kept aside; what "
                "is lost for good.",
                (f"max(phoebe_late_usage_events{{{CHOSEN}}})", "late"),
                (f"max(phoebe_out_of_time_events{{{CHOSEN}}})", "out of time"),
                (f"max(phoebe_rejected_events{{{CHOSEN}}})", "kept aside"),
                (f"max(phoebe_producers_lost_rows{{{CHOSEN}}})", "lost in damaged spools"),
            ),
            lines(
                "Given to clients and not billed",
                "short",
                "Events in the window of the last run: not completed, with output, and the engine said "
                "nothing of usage.",
                (f"max by (mode) (phoebe_rating_unbilled_output_events{{{CHOSEN}}})", "{{mode}}"),
            ),
            lines(
                "Proxies by state",
                "short",
                "Of their spools.",
                (f"max by (state) (phoebe_producers{{{CHOSEN}}})", "{{state}}"),
            ),
            lines(
                "Clocks",
                "s",
                "Of proxies, and of the rater's machine, less the database's. Beyond 5 seconds look at NTP.",
                (f"max by (name) (phoebe_producer_clock_skew_seconds{{{NAMED}}})", "{{name}}"),
                (f"max(phoebe_rater_clock_skew_seconds{{{CHOSEN}}})", "rater"),
                minimum=None,
            ),
            lines(
                "Prices",
                "bool_yes_no",
                "Whether the file that each rater follows is what was loaded last, and can be used.",
                (f"phoebe_price_file_latest{{{CHOSEN}}}", "{{instance}} is the latest"),
                (f'phoebe_file_refused{{file="prices", {CHOSEN}}}', "{{instance}} is refused"),
            ),
        ],
    ),
    (
        "Runs",
        [
            lines(
                "Runs",
                "short",
                "An hour, by mode and result; those of this service. A CronJob's leave no count.",
                (
                    f"sum by (mode, result) (increase(phoebe_rating_runs_total{{{CHOSEN}}}[1h]))",
                    "{{mode}} {{result}}",
                ),
            ),
            lines(
                "Anomalies",
                "short",
                "An hour, by reason. docs/runbooks.md has a section for each.",
                (
                    f"sum by (reason) (increase(phoebe_rating_anomalies_total{{{CHOSEN}}}[1h])) > 0",
                    "{{reason}}",
                ),
            ),
            lines(
                "Duration of runs",
                "s",
                "With the wait for their turn.",
                *quantiles("phoebe_rating_run_seconds", CHOSEN),
            ),
        ],
    ),
    (
        "Ingest",
        [
            lines(
                "Events",
                "short",
                "A second, by what became of them.",
                rate("phoebe_events_received_total", CHOSEN, "outcome"),
            ),
            lines(
                "Storing a batch",
                "s",
                "From its receipt to its COMMIT.",
                *quantiles("phoebe_batch_seconds", CHOSEN),
            ),
            lines(
                "Amiss",
                "short",
                "A minute: batches to be sent again, statuses that break a rule, spools of other "
                "installations, events of more models than a customer may have.",
                (
                    f"sum(rate(phoebe_batches_failed_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "batches failed",
                ),
                (
                    f"sum(rate(phoebe_statuses_refused_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "statuses refused",
                ),
                (
                    f"sum(rate(phoebe_wrong_installations_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "wrong installation",
                ),
                (
                    f"sum(rate(phoebe_other_model_events_total{{{CHOSEN}}}[$__rate_interval])) * 60",
                    "of too many models",
                ),
            ),
            lines(
                "Streams that wait for room",
                "short",
                "Above 0 for minutes: the database is too slow for what comes.",
                (f"phoebe_streams_waiting{{{CHOSEN}}}", "{{instance}}"),
            ),
            lines(
                "Figures are fresh",
                "bool_yes_no",
                "0: the database could not be asked, and figures from it are old.",
                (f"phoebe_gauges_fresh{{{CHOSEN}}}", "{{instance}}"),
            ),
            lines(
                "Settings of the database that can lose data",
                "bool_yes_no",
                "1: fsync or full_page_writes is off.",
                (f"max by (setting) (phoebe_database_setting_unsafe{{{CHOSEN}}})", "{{setting}}"),
            ),
            lines(
                "Standbys: behind",
                "s",
                "How far the standby that bills are read from is behind, at most.",
                (f"phoebe_standby_lag_seconds{{{CHOSEN}}}", "{{server}} says {{instance}}"),
                width=12,
            ),
            lines(
                "Standbys: can be read from",
                "bool_yes_no",
                "0: bills are read from the database itself meanwhile.",
                (f"phoebe_standby_up{{{CHOSEN}}}", "{{server}} says {{instance}}"),
                width=12,
            ),
        ],
    ),
    process(CHOSEN),
]
