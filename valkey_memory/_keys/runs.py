"""The log of a run is a stream at ``{key_prefix}{run_id}``; a sidecar lists all."""

from __future__ import annotations

from .._arguments import check_text
from .names import decode, encode, scan_pattern, sidecar


def run_key(key_prefix: str, run_id: str) -> str:
    """The stream of a run's events.

    Raises:
        InvalidArgumentError: ``run_id`` is no text, or an empty one.
    """
    return key_prefix + encode(check_text(run_id, "run_id"))


def runs_pattern(key_prefix: str) -> str:
    """A SCAN pattern for the streams of all runs."""
    return scan_pattern(key_prefix)


def run_of(key_prefix: str, key: bytes) -> str | None:
    """The run whose stream ``key`` is; None for a key that ``run_key`` does not make."""
    try:
        text = key.decode()
    except UnicodeDecodeError:
        return None
    run_id = decode(text[len(key_prefix) :])
    return run_id if run_id and run_key(key_prefix, run_id) == text else None


def runs_key(key_prefix: str) -> str:
    """The sorted set of the last runs, by when they were last active."""
    return sidecar(key_prefix, "runs")
