"""What each half knows of the other, compared: variables, as both may run on one machine, and lengths."""

import typer

from phoebe_addon.delivery import delivery
from phoebe_addon.settings import settings
from phoebe_addon.settings.options import OPTIONS
from phoebe_addon.settings.unknown_names import RATER_VARIABLES
from rater_service.cli.program import app
from rater_service.cli.variables import ADDON_VARIABLES, SHARED_VARIABLES, own_variables
from rater_service.events import producer_status


def test_the_rater_knows_the_variables_of_the_addon() -> None:
    assert {option.variable for option in OPTIONS} == ADDON_VARIABLES, (
        "list them in rater_service/cli/variables.py"
    )


def test_the_addon_knows_the_variables_of_the_rater() -> None:
    own = own_variables(typer.main.get_command(app))

    # The doctor reads the addon's: on the machine of a proxy it asks what the proxy asks.
    assert {name for name in own if name.startswith("PHOEBE_")} - ADDON_VARIABLES == (
        RATER_VARIABLES - ADDON_VARIABLES
    ), "list them in addon/phoebe_addon/settings/unknown_names.py"
    assert RATER_VARIABLES & ADDON_VARIABLES == SHARED_VARIABLES
    assert own - RATER_VARIABLES - ADDON_VARIABLES == {"DATABASE_URL", "READ_DATABASE_URL"}


def test_what_a_proxy_says_of_itself_is_no_longer_than_a_rater_takes() -> None:
    assert settings._NAME_LENGTH_MAX == producer_status.NAME_LENGTH_MAX
    assert delivery.VERSION_LENGTH_MAX == producer_status.VERSION_LENGTH_MAX
