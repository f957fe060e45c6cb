"""Conversation memory in Valkey through Valkey GLIDE, for any framework or none."""

from ._connection import ValkeyConnection
from ._embedded import EmbeddedValkey
from ._errors import (
    AuthenticationError,
    CommandError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionFailedError,
    CorruptMessageError,
    EmbeddedServerError,
    EventLoopError,
    InvalidArgumentError,
    InvalidSessionIdError,
    KeyTypeError,
    MessageEncodeError,
    OperationTimeoutError,
    ValkeyMemoryError,
)
from ._store import MessageStore

__all__ = [
    "AuthenticationError",
    "CommandError",
    "ConfigurationError",
    "ConnectionClosedError",
    "ConnectionFailedError",
    "CorruptMessageError",
    "EmbeddedServerError",
    "EmbeddedValkey",
    "EventLoopError",
    "InvalidArgumentError",
    "InvalidSessionIdError",
    "KeyTypeError",
    "MessageEncodeError",
    "MessageStore",
    "OperationTimeoutError",
    "ValkeyConnection",
    "ValkeyMemoryError",
]
