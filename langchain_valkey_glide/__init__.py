"""LangChain on Valkey: history, vector store, caches, over the core in ``valkey_memory``."""

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
from ._semantic_cache import ValkeySemanticCache
from ._vector_store import ValkeyVectorStore

__all__ = [
    "LocalEmbeddings",
    "ValkeyCache",
    "ValkeyChatMemory",
    "ValkeyChatMessageHistory",
    "ValkeySemanticCache",
    "ValkeyVectorStore",
]

# Pickles and reprs name what users import, wherever it stands.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
