"""Writes deploy/grafana: `python -m dashboards FOLDER`."""

import json
import sys
from pathlib import Path

from dashboards import proxies, rater
from dashboards.page import dashboard

_NAMES = 'label_values(phoebe_producer_last_seen_timestamp_seconds{job=~"$job"}, name)'
ALL = (
    dashboard("phoebe-proxies", "Phoebe: proxies", proxies.__doc__ or "", "addon", proxies.ROWS),
    dashboard("phoebe-rater", "Phoebe: rater", rater.__doc__ or "", "rater", rater.ROWS, _NAMES),
)


def files() -> dict[str, str]:
    """Make the text of each file, by its name."""
    return {f"{each['uid']}.json": json.dumps(each, indent=2, ensure_ascii=False) + "\n" for each in ALL}


if __name__ == "__main__":
    for name, text in files().items():
        Path(sys.argv[1], name).write_text(text, encoding="utf-8")
