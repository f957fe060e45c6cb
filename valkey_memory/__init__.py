"""Conversation memory in Valkey through Valkey GLIDE, for any framework or none."""

from ._connection import ValkeyConnection
from ._documents import Document, Hit
from ._embedded import EmbeddedValkey
from ._errors import (
    AuthenticationError,
    BulkWriteError,
    CommandError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionFailedError,
    CorruptMessageError,
    DocumentError,
    EmbeddedServerError,
    EventLoopError,
    ExactSearchLimitError,
    FilterError,
    IndexMismatchError,
    InvalidArgumentError,
    InvalidSessionIdError,
    KeyTypeError,
    MessageEncodeError,
    OperationTimeoutError,
    SearchUnavailableError,
    ValkeyMemoryError,
)
from ._filters import Filter, Numeric, Tag, Text
from ._schema import IndexInfo
from ._store import MessageStore
from ._vector_index import VectorIndex

__all__ = [
    "AuthenticationError",
    "BulkWriteError",
    "CommandError",
    "ConfigurationError",
    "ConnectionClosedError",
    "ConnectionFailedError",
    "CorruptMessageError",
    "Document",
    "DocumentError",
    "EmbeddedServerError",
    "EmbeddedValkey",
    "EventLoopError",
    "ExactSearchLimitError",
    "Filter",
    "FilterError",
    "Hit",
    "IndexInfo",
    "IndexMismatchError",
    "InvalidArgumentError",
    "InvalidSessionIdError",
    "KeyTypeError",
    "MessageEncodeError",
    "MessageStore",
    "Numeric",
    "OperationTimeoutError",
    "SearchUnavailableError",
    "Tag",
    "Text",
    "ValkeyConnection",
    "ValkeyMemoryError",
    "VectorIndex",
]
