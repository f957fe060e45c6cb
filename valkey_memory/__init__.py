"""Conversation memory in Valkey through Valkey GLIDE, for any framework or none."""

from ._caches.counts import CacheStats
from ._caches.thresholds import (
    ThresholdRow,
    Thresholds,
    achoose_threshold,
    choose_threshold,
)
from ._caches.tool_cache import ToolCache
from ._conversations.message_store import MessageStore
from ._conversations.session_store import SessionStore
from ._conversations.sessions import Session
from ._errors import (
    AuthenticationError,
    BulkWriteError,
    CommandError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionFailedError,
    ConnectionLostError,
    CorruptMessageError,
    DocumentError,
    EmbeddedServerError,
    ErasureIncompleteError,
    EventLoopError,
    ExactSearchLimitError,
    ExportFileError,
    FilterError,
    IndexExistsError,
    IndexMismatchError,
    IndexNotFoundError,
    InvalidArgumentError,
    InvalidSessionIdError,
    KeyTypeError,
    MessageEncodeError,
    ModelAnswerError,
    NotOwnerError,
    NotPrimaryError,
    OperationTimeoutError,
    PermissionDeniedError,
    ReplyLostError,
    SearchUnavailableError,
    ServerUnavailableError,
    UnknownCommandError,
    ValkeyMemoryError,
    WriteRefusedError,
)
from ._filters.expressions import Filter, Numeric, Tag, Text
from ._memory.consolidation import Consolidation
from ._memory.context import Context, LeftOut
from ._memory.conversation_memory import ConversationMemory
from ._memory.extraction import Extraction
from ._memory.facts import Rejected
from ._memory.findings import Finding
from ._memory.long_term import LongTermMemory
from ._memory.memories import Memory, Parts
from ._memory.person import export_user, forget_user, import_user
from ._memory.receipts import Receipt, UserCounts
from ._memory.summary import Summary
from ._memory.user_data import UserData
from ._models.local import LocalEmbedding
from ._runs.events import RunEvent
from ._runs.plans import Run
from ._runs.run_log import RunLog
from ._server.connection import ValkeyConnection
from ._server.embedded import EmbeddedValkey
from ._vectors.documents import Document, Hit
from ._vectors.index import VectorIndex
from ._vectors.schema import IndexInfo

__all__ = [
    "AuthenticationError",
    "BulkWriteError",
    "CacheStats",
    "CommandError",
    "ConfigurationError",
    "ConnectionClosedError",
    "ConnectionFailedError",
    "ConnectionLostError",
    "Consolidation",
    "Context",
    "ConversationMemory",
    "CorruptMessageError",
    "Document",
    "DocumentError",
    "EmbeddedServerError",
    "EmbeddedValkey",
    "ErasureIncompleteError",
    "EventLoopError",
    "ExactSearchLimitError",
    "ExportFileError",
    "Extraction",
    "Filter",
    "FilterError",
    "Finding",
    "Hit",
    "IndexInfo",
    "IndexMismatchError",
    "InvalidArgumentError",
    "IndexExistsError",
    "IndexNotFoundError",
    "InvalidSessionIdError",
    "KeyTypeError",
    "LeftOut",
    "LocalEmbedding",
    "LongTermMemory",
    "Memory",
    "MessageEncodeError",
    "ModelAnswerError",
    "NotOwnerError",
    "NotPrimaryError",
    "MessageStore",
    "Numeric",
    "OperationTimeoutError",
    "Parts",
    "PermissionDeniedError",
    "Receipt",
    "Rejected",
    "ReplyLostError",
    "Run",
    "RunEvent",
    "RunLog",
    "SearchUnavailableError",
    "ServerUnavailableError",
    "Session",
    "SessionStore",
    "Summary",
    "Tag",
    "Text",
    "ThresholdRow",
    "Thresholds",
    "ToolCache",
    "UnknownCommandError",
    "UserCounts",
    "UserData",
    "ValkeyConnection",
    "ValkeyMemoryError",
    "WriteRefusedError",
    "achoose_threshold",
    "choose_threshold",
    "export_user",
    "forget_user",
    "import_user",
    "VectorIndex",
]

# Pickles, reprs and error messages name what users import, wherever it stands.
for _name in __all__:
    globals()[_name].__module__ = __name__
del _name
