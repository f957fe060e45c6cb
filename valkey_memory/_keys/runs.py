"""The log of a run is a stream at ``{key_prefix}{run_id}``; a sidecar lists all."""

from __future__ import annotations

from .._arguments import check_text
from .names import encode, sidecar


def run_key(key_prefix: str, run_id: str) -> str:
    """The stream of a run's events.

    Raises:
        InvalidArgumentError: ``run_id`` is no text, or an empty one.
    """
    return key_prefix + encode(check_text(run_id, "run_id"))


def runs_key(key_prefix: str) -> str:
    """The sorted set of the last runs, by when they were last active."""
    return sidecar(key_prefix, "runs")
