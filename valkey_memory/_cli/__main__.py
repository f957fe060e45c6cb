"""``python -m valkey_memory._cli``."""

from . import main

main()
