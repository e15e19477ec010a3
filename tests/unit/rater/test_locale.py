"""No statement goes by the locale of the database: in Turkish, upper('insert') is not INSERT."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
# Of a range its bounds, not of a text its letters.
RANGES = ("gapless", "numbers")


def test_letters_are_changed_in_one_way_everywhere() -> None:
    found = []
    for path in [*ROOT.glob("rater_service/**/*.sql"), *ROOT.glob("migrations/**/*.sql")]:
        for call in re.finditer(r"\b(?:upper|lower|initcap)\(([^()]*)", path.read_text(), re.IGNORECASE):
            argument = call[1]
            if 'COLLATE "C"' not in argument and not any(name in argument for name in RANGES):
                found.append(f"{path.relative_to(ROOT)}: {call[0]}")
        if re.search(r"\bilike\b|~\*|\bcitext\b", path.read_text(), re.IGNORECASE):
            found.append(f"{path.relative_to(ROOT)}: compares without case")
    assert found == []
