"""The command line ``valkey-memory``. Nothing of the library imports it.

One concept per module: ``_app`` (options, errors, output), ``_keyspace`` (what it asks the server),
and the commands in ``_conversations``, ``_search``, ``_stats``, ``_doctor``, ``_transfer`` and
``_demo``. ``_checks`` judges what ``_doctor`` found.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

NEEDED = ("typer", "rich")


def main() -> None:
    """Run the command line; what the console script calls."""
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        sys.exit(
            f"valkey-memory needs {' and '.join(missing)}: pip install 'valkey-glide-memory[cli]'"
        )
    from ._commands import app

    app(prog_name="valkey-memory")
