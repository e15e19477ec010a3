import pytest
import yaml

from rater_service.prices import file_yaml as price_yaml
from rater_service.prices.file import PriceFileError, parse_price_file
from tests.unit.rater.prices.malformed_price_files import Malformed, malformed_files

FILES = list(malformed_files())


@pytest.fixture(params=["libyaml", "pure Python"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "pure Python":
        monkeypatch.setattr(price_yaml, "_LOADER", yaml.SafeLoader)


@pytest.mark.parametrize("file", FILES, ids=lambda file: ascii(file.text[-40:]))
def test_a_file_that_is_wrong_in_one_way_has_one_fault_with_its_place(file: Malformed) -> None:
    with pytest.raises(PriceFileError) as refused:
        parse_price_file(file.text.encode(), "prices.yaml")

    (fault,) = refused.value.faults
    assert (fault.line, fault.model, fault.field) == file.place
    assert fault.message
    assert str(fault).isprintable()


def test_there_are_many_of_them_and_no_two_are_the_same() -> None:
    assert len({file.text for file in FILES}) == len(FILES) >= 250
