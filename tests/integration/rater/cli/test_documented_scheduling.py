"""systemd takes the units in docs/scheduling.md."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[4] / "docs/scheduling.md"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd")
def test_systemd_finds_no_fault_with_the_units(tmp_path: Path) -> None:
    service, timer = re.findall(r"^```ini\n(.*?)^```$", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    (tmp_path / "phoebe-rate.service").write_text(service.replace("/usr/local/bin/phoebe", "/bin/true"))
    (tmp_path / "phoebe-rate.timer").write_text(timer)
    (tmp_path / "phoebe-rate-alarm.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    units = [tmp_path / "phoebe-rate.service", tmp_path / "phoebe-rate.timer"]
    checked = subprocess.run(
        ["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, [line for line in checked.stderr.splitlines() if "phoebe-rate" in line]) == (
        0,
        [],
    )
