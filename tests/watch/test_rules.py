"""The rules as promtool judges them, and their own tests."""

import subprocess
from pathlib import Path

from rig.programs import PROJECT
from tests.watch.conftest import program

RULES = PROJECT / "deploy" / "prometheus"


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program("promtool"), *words], capture_output=True, text=True, check=False)


def test_promtool_takes_the_rules() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES / "rules.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_fires_at_what_it_is_for_and_at_nothing_near_to_it() -> None:
    done = promtool("test", "rules", str(RULES / "rules_test.yaml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_takes_the_configuration_of_compose_with_what_is_mounted_for_it(tmp_path: Path) -> None:
    config = (PROJECT / "deploy" / "compose" / "prometheus.yml").read_text("utf-8")
    mounted = tmp_path / "prometheus.yml"
    mounted.write_text(config.replace("/etc/prometheus/rules", str(RULES)))

    done = promtool("check", "config", str(mounted))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 rule files found" in done.stdout
