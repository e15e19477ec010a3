"""Which version of the addon this is."""

from importlib.metadata import PackageNotFoundError, version


def addon_version() -> str:
    """Give the version that is installed; empty: mitmdump runs the file of a folder, and nothing is."""
    try:
        return version("phoebe-metering")
    except PackageNotFoundError:
        return ""
