"""LangGraph on Valkey: checkpointer, store and node cache, over the core in ``valkey_memory``."""

try:
    import langgraph.checkpoint.base  # noqa: F401
except ImportError as error:
    raise ImportError(
        "langgraph_valkey_glide needs langgraph: pip install 'valkey-glide-memory[langgraph]'"
    ) from error

from ._cache import ValkeyCache
from ._saver import ValkeySaver
from ._store import ValkeyStore

__all__ = ["ValkeyCache", "ValkeySaver", "ValkeyStore"]

# Pickles and reprs name what users import, wherever it stands.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
