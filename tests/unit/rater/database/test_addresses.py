"""One URL for each server that a URL names."""

import pytest

from rater_service.database.addresses import one_by_one


@pytest.mark.parametrize(
    ("url", "each"),
    [
        ("postgresql://u:p@a:1/d", ["postgresql://u:p@a:1/d"]),
        ("postgresql://u:p@a:1,b:2/d?x=y", ["postgresql://u:p@a:1/d?x=y", "postgresql://u:p@b:2/d?x=y"]),
        ("postgresql://u:p%40,@a,b/d", ["postgresql://u:p%40,@a/d", "postgresql://u:p%40,@b/d"]),
        ("postgresql://[::1]:1,[::2]:2/d", ["postgresql://[::1]:1/d", "postgresql://[::2]:2/d"]),
        ("postgresql:///d?host=a,b&port=1,2", ["postgresql:///d?host=a&port=1", "postgresql:///d?host=b&port=2"]),
        ("postgresql:///d?host=a,b&port=1", ["postgresql:///d?host=a&port=1", "postgresql:///d?host=b&port=1"]),
        ("postgresql:///d?host=/s/a,/s/b&k=v", ["postgresql:///d?k=v&host=/s/a", "postgresql:///d?k=v&host=/s/b"]),
        ("nothing of the kind", ["nothing of the kind"]),
        ("postgresql://[::1/d,", ["postgresql://[::1/d,"]),
        ("", [""]),
    ],
)  # fmt: skip
def test_each_server_gets_a_url_with_all_that_holds_for_it(url: str, each: list[str]) -> None:
    assert list(one_by_one(url)) == each
