"""All that a framework face may use of the core, beside its public names.

A face translates a framework's messages, nodes and options; storage, plans and commands stay below.
"""

from .._arguments import (
    TTL,
    OnError,
    check_count,
    check_on_error,
    check_span,
    check_text,
    shown,
    with_options,
)
from .._caches.answers import AnswerCodec
from .._caches.exact import ExactCache, Place
from .._caches.semantic import THRESHOLD, Asked, Found, SemanticCache
from .._caches.tool_cache import ToolCacheOptions
from .._caches.tool_results import ResultForm
from .._caches.typed import pack_typed, unpack_typed
from .._checkpoints.records import History, New, Saved, Typed, Write
from .._checkpoints.store import CheckpointStore
from .._conversations.counters import TokenCounter
from .._conversations.elements import OnCorrupt
from .._conversations.store import ConversationStore, StoreOptions
from .._conversations.window_plans import WhenTooLarge
from .._filters.dicts import comparison
from .._filters.expressions import ALWAYS, NEVER, And, FieldType, Or
from .._items.entries import NamespaceMatch
from .._items.operations import GetItem, ListNamespaces, Operation, PutItem, SearchItems
from .._items.records import Item
from .._items.store import ItemIndexOptions, ItemStore
from .._memory.beside_state import MemoryBesideState
from .._memory.context import fact_line, recalled_line
from .._memory.prompts import Prompt, message_line
from .._memory.turn_memory import TurnMemory
from .._memory.turn_settings import TurnOptions, TurnSettings, turn_settings
from .._messages.codecs import Codec, parse_arguments, read_tool_call
from .._messages.content import (
    REASONING,
    audio_block,
    block_type,
    data_url,
    file_block,
    image_block,
    reasoning_text,
    split_data_url,
    standard_block,
    text_block,
)
from .._messages.dialects import from_dialect, is_plain, is_text, tool_call, tool_result
from .._messages.elements import Element
from .._messages.objects import dump_json, open_to_json, plain_data
from .._messages.tokens import CHARACTERS_PER_TOKEN
from .._messages.usage import tokens_of_answer, tokens_of_usage
from .._messages.values import is_writable, loads, to_json
from .._models.embedding import (
    BATCH_SIZE,
    CONCURRENCY,
    Embeddings,
    aembed_documents,
    embed_documents,
    known_dimension,
)
from .._runs.recorder import CHAIN, RunRecorder
from .._runs.run_log import RunLogOptions
from .._secrets import hide, hide_url, hide_url_in, mask
from .._vectors.engine import Search
from .._vectors.hybrid import HybridMode
from .._vectors.limits import EXACT_LIMIT
from .._vectors.options import IndexOptions
from .._vectors.plans import AnyFilter
from .._vectors.schema import Algorithm, Storage
from .._vectors.storage import Progress
from .._vectors.text_index import TextIndex
from .._vectors.vector import Metric
from .construct import construct, has_fields

__all__ = [
    "ALWAYS",
    "Algorithm",
    "And",
    "AnswerCodec",
    "AnyFilter",
    "Asked",
    "BATCH_SIZE",
    "CHAIN",
    "CHARACTERS_PER_TOKEN",
    "CONCURRENCY",
    "CheckpointStore",
    "Codec",
    "ConversationStore",
    "EXACT_LIMIT",
    "Element",
    "Embeddings",
    "ExactCache",
    "FieldType",
    "Found",
    "GetItem",
    "History",
    "HybridMode",
    "IndexOptions",
    "Item",
    "ItemIndexOptions",
    "ItemStore",
    "ListNamespaces",
    "MemoryBesideState",
    "Metric",
    "NEVER",
    "NamespaceMatch",
    "New",
    "OnCorrupt",
    "OnError",
    "Operation",
    "Or",
    "Place",
    "Progress",
    "Prompt",
    "PutItem",
    "REASONING",
    "ResultForm",
    "RunLogOptions",
    "RunRecorder",
    "Saved",
    "Search",
    "SearchItems",
    "SemanticCache",
    "Storage",
    "StoreOptions",
    "THRESHOLD",
    "TTL",
    "TextIndex",
    "TokenCounter",
    "ToolCacheOptions",
    "TurnMemory",
    "TurnOptions",
    "TurnSettings",
    "Typed",
    "WhenTooLarge",
    "Write",
    "aembed_documents",
    "audio_block",
    "block_type",
    "check_count",
    "check_on_error",
    "check_span",
    "check_text",
    "comparison",
    "construct",
    "data_url",
    "dump_json",
    "embed_documents",
    "fact_line",
    "file_block",
    "from_dialect",
    "has_fields",
    "hide",
    "hide_url",
    "hide_url_in",
    "image_block",
    "is_plain",
    "is_text",
    "is_writable",
    "known_dimension",
    "loads",
    "mask",
    "message_line",
    "open_to_json",
    "pack_typed",
    "parse_arguments",
    "plain_data",
    "read_tool_call",
    "reasoning_text",
    "recalled_line",
    "shown",
    "split_data_url",
    "standard_block",
    "text_block",
    "to_json",
    "tokens_of_answer",
    "tokens_of_usage",
    "tool_call",
    "tool_result",
    "turn_settings",
    "unpack_typed",
    "with_options",
]
