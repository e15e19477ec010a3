"""Until when certificates hold."""

from pathlib import Path

from cryptography import x509


def first_expiry(path: Path | None) -> float:
    """Say when the first certificate of a PEM file ends, in seconds since 1970; NaN if none can be read."""
    if path is None:
        return float("nan")
    try:
        found = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError):  # whoever uses the file says what is wrong with it
        return float("nan")
    return min(each.not_valid_after_utc.timestamp() for each in found)
