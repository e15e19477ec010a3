"""What every process shows of itself: the last row of both."""

from dashboards.panels import Json, lines, per_minute


def process(selector: str) -> tuple[str, list[Json]]:
    """Make the row. selector: of jobs and instances."""
    return (
        "Process",
        [
            lines(
                "CPU",
                "percentunit",
                "1 is one core. A proxy has one process a core, at most.",
                (f"rate(process_cpu_seconds_total{{{selector}}}[$__rate_interval])", "{{instance}}"),
            ),
            lines(
                "Memory",
                "bytes",
                "Resident memory.",
                (f"process_resident_memory_bytes{{{selector}}}", "{{instance}}"),
            ),
            lines(
                "Open files",
                "short",
                "Connections are among them. The limit is that of the process.",
                (f"process_open_fds{{{selector}}}", "{{instance}}"),
                (f"min(process_max_fds{{{selector}}})", "limit"),
            ),
            lines(
                "Tasks that are down",
                "short",
                "A task of the background that crashes is a bug; the log has the traceback.",
                (f"phoebe_task_up{{{selector}}} == 0", "{{instance}} {{task}}"),
            ),
            lines(
                "Files: changes a minute",
                "short",
                "Changes of followed files that came into use, or were refused: what a file said before "
                "then holds.",
                per_minute("phoebe_file_reloads_total", selector, "file, result"),
            ),
            lines(
                "Certificates: time left",
                "s",
                "Of the certificate that ends first in each file. A new one is taken without a restart.",
                (
                    f"phoebe_certificate_not_after_timestamp_seconds{{{selector}}} - time()",
                    "{{instance}} {{use}}",
                ),
                minimum=None,
            ),
        ],
    )
