"""The command line ``valkey-memory``. Nothing of the library imports it.

It parses, asks the core, and prints. The commands are in ``sessions``, ``conversations``,
``summarize``, ``consolidate``, ``search``, ``stats``, ``doctor``, ``transfer``, ``users`` and
``demo``; what they share in ``app`` (options, errors), ``files``, ``output`` and ``walking``.
``checks`` judges what ``doctor`` found.
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
    from .commands import app

    app(prog_name="valkey-memory")
