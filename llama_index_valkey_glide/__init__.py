"""LlamaIndex on Valkey: chat stores, vector store, embeddings; over ``valkey_memory``."""

try:
    import llama_index.core  # noqa: F401
except ImportError as error:
    raise ImportError(
        "llama_index_valkey_glide needs llama-index-core: "
        "pip install 'valkey-glide-memory[llama-index]'"
    ) from error

from llama_index.core.storage.chat_store.loading import RECOGNIZED_CHAT_STORES

from ._cached_tool import cached_tool
from ._chat_store import ValkeyChatStore
from ._db_chat_store import ValkeyDBChatStore
from ._embedding import LangChainEmbedding
from ._local import LocalEmbedding
from ._long_term_blocks import ValkeyFactsBlock, ValkeyRecallBlock
from ._memory import ValkeyMemory
from ._summary_block import ValkeySummaryBlock
from ._vector_store import ValkeyVectorStore

# ChatMemoryBuffer.from_string finds stores here.
RECOGNIZED_CHAT_STORES[ValkeyChatStore.class_name()] = ValkeyChatStore  # type: ignore[assignment]

__all__ = [
    "LangChainEmbedding",
    "LocalEmbedding",
    "ValkeyChatStore",
    "ValkeyDBChatStore",
    "ValkeyFactsBlock",
    "ValkeyMemory",
    "ValkeyRecallBlock",
    "ValkeySummaryBlock",
    "ValkeyVectorStore",
    "cached_tool",
]

# Pickles and reprs name what users import, wherever it stands.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
