"""LangChain on Valkey: chat history and vector store, over the core in ``valkey_memory``."""

try:
    import langchain_core  # noqa: F401
except ImportError as error:
    raise ImportError(
        "langchain_valkey_glide needs langchain-core: pip install 'valkey-glide-memory[langchain]'"
    ) from error

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._chat_memory import ValkeyChatMemory
from ._embeddings import LocalEmbeddings
from ._history import ValkeyChatMessageHistory
from ._vector_store import ValkeyVectorStore

if TYPE_CHECKING:
    from ._middleware import ValkeyMemoryMiddleware

__all__ = [
    "LocalEmbeddings",
    "ValkeyChatMemory",
    "ValkeyChatMessageHistory",
    "ValkeyMemoryMiddleware",
    "ValkeyVectorStore",
]

_LAZY = {"ValkeyMemoryMiddleware": "._middleware"}
"""What needs langchain itself, by its module: imported when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import langchain.agents  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{name} needs langchain: pip install 'valkey-glide-memory[agents]'"
        ) from error
    found = getattr(import_module(_LAZY[name], __name__), name)
    found.__module__ = __name__
    globals()[name] = found
    return found


# Pickles and reprs name what users import, wherever it stands.
for _name in __all__:
    if _name not in _LAZY:
        globals()[_name].__module__ = __name__
del _name
