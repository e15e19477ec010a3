import os
from pathlib import Path

import pytest

from phoebe_addon.gate.upstreams import Upstream, UpstreamsError
from phoebe_addon.settings.upstreams_file import UpstreamsFile

A = Upstream("http", "a", 80)
B = Upstream("http", "b", 80)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "map.yaml"
    path.write_text("res: http://a")
    return path


def test_a_map_is_read_from_its_file(path: Path) -> None:
    assert UpstreamsFile(path).upstreams.find("res") == A


def test_a_map_that_did_not_change_is_not_read_again(path: Path) -> None:
    file = UpstreamsFile(path)
    before = file.upstreams

    assert not file.refresh()
    assert file.upstreams is before


def test_a_map_that_changed_is_read_again(path: Path) -> None:
    file = UpstreamsFile(path)
    path.write_text("res: http://b # changed")

    assert file.refresh()
    assert file.upstreams.find("res") == B


def test_a_file_put_in_the_place_of_the_map_is_noticed_whatever_its_time_and_size(path: Path) -> None:
    file = UpstreamsFile(path)
    other = path.with_name("other.yaml")
    other.write_text("res: http://b")
    times = path.stat()
    os.utime(other, ns=(times.st_atime_ns, times.st_mtime_ns))
    other.replace(path)

    assert file.refresh()
    assert file.upstreams.find("res") == B


@pytest.mark.parametrize("content", [b"res: ftp://b", b"not: [a map", b"\xff\xfe\xff", b""])
def test_a_map_that_cannot_be_used_is_reported_once_and_the_old_one_stays(path: Path, content: bytes) -> None:
    file = UpstreamsFile(path)
    path.write_bytes(content)

    with pytest.raises(UpstreamsError, match=r"map\.yaml"):
        file.refresh()
    assert file.upstreams.find("res") == A
    assert not file.refresh()


def test_a_map_that_is_gone_is_reported_and_the_old_one_stays(path: Path) -> None:
    file = UpstreamsFile(path)
    path.unlink()

    with pytest.raises(UpstreamsError, match="can't be read"):
        file.refresh()
    assert file.upstreams.find("res") == A
    path.write_text("res: http://b")
    assert file.refresh()
    assert file.upstreams.find("res") == B


def test_a_map_that_is_missing_at_first_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UpstreamsError, match=r"missing\.yaml: can't be read"):
        UpstreamsFile(tmp_path / "missing.yaml")
