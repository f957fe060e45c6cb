"""LangChain on Valkey: history, vectors, caches, agents; over the core in ``valkey_memory``."""

import importlib
from typing import TYPE_CHECKING, Any

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    raise ImportError(
        "langchain_valkey_glide needs langchain-core: pip install 'valkey-glide-memory[langchain]'"
    ) from error

from ._cache import ValkeyCache
from ._chat_memory import ValkeyChatMemory
from ._embeddings import LocalEmbeddings
from ._history import ValkeyChatMessageHistory
from ._run_logger import ValkeyRunLogger
from ._semantic_cache import ValkeySemanticCache
from ._vector_store import ValkeyVectorStore

if TYPE_CHECKING:
    from ._tool_cache import ValkeyToolCacheMiddleware

# What needs langchain itself, which chat history and vector store do without.
_LAZY = {"ValkeyToolCacheMiddleware": "._tool_cache"}

__all__ = [
    "LocalEmbeddings",
    "ValkeyCache",
    "ValkeyChatMemory",
    "ValkeyChatMessageHistory",
    "ValkeyRunLogger",
    "ValkeySemanticCache",
    "ValkeyToolCacheMiddleware",
    "ValkeyVectorStore",
]

# Pickles and reprs name what users import, wherever it stands.
for _name in set(__all__) - set(_LAZY):
    globals()[_name].__module__ = __name__
del _name


def __getattr__(name: str) -> Any:
    """What is imported when it is first asked for.

    Raises:
        ImportError: langchain is not installed.
    """
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(_LAZY[name], __name__)
    except ImportError as error:
        raise ImportError(
            f"{name} needs langchain: pip install 'valkey-glide-memory[agents]'"
        ) from error
    found = globals()[name] = getattr(module, name)
    found.__module__ = __name__
    return found
