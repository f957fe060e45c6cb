"""Every error this library raises, and the one table that maps GLIDE's errors to them.

    ValkeyMemoryError
    |-- ConfigurationError (ValueError)       a URL, an installation or options that cannot work
    |-- InvalidArgumentError (ValueError)     a TTL, a window, an index out of its domain
    |   `-- InvalidSessionIdError             a session id that cannot become a key
    |-- FilterError (ValueError)              a filter that cannot be served as it is
    |-- MessageEncodeError (ValueError)       a message that JSON cannot hold
    |-- CorruptMessageError (ValueError)      a stored element that is not a message
    |-- DocumentError (ValueError)            a document or vector that the index cannot hold
    |-- IndexMismatchError (ValueError)       an index that exists in another shape
    |-- SearchUnavailableError                the server lacks what the store was asked to use
    |-- ExactSearchLimitError                 more documents than exact search is meant for
    |-- BulkWriteError                        a bulk load that stopped; it says what was written
    |-- EventLoopError                        a given async client used from a foreign loop
    |-- ConnectionClosedError                 used after close()
    |-- ConnectionFailedError (ConnectionError)   the server cannot be reached
    |   `-- AuthenticationError               it was reached, and refused the credentials
    |-- OperationTimeoutError (TimeoutError)  no reply in time: the outcome is unknown
    |-- KeyTypeError                          the key holds a value of another type
    |-- CommandError                          any other error reply of the server
    `-- EmbeddedServerError                   the private server cannot start or is held elsewhere

Errors that blame the caller are also ``ValueError``; those of the network are also the builtin
``ConnectionError`` or ``TimeoutError``, so code that knows nothing of this library still catches
them.
"""

from __future__ import annotations


class ValkeyMemoryError(Exception):
    """Base class of every error raised by this library."""


class ConfigurationError(ValkeyMemoryError, ValueError):
    """A URL, an installation or options that cannot work. Nothing was sent to the server."""


class InvalidArgumentError(ValkeyMemoryError, ValueError):
    """An argument outside its domain. Nothing was sent to the server."""


class InvalidSessionIdError(InvalidArgumentError):
    """A session id that cannot become a key. Nothing was sent to the server."""


class FilterError(ValkeyMemoryError, ValueError):
    """A filter or a metadata value that cannot be served as it is. Never widened, never dropped."""


class MessageEncodeError(ValkeyMemoryError, ValueError):
    """A message that cannot be stored without losing something. Nothing was sent to the server."""


class CorruptMessageError(ValkeyMemoryError, ValueError):
    """A stored element that is not a message. It was left where it is.

    Attributes:
        key: The list's key in Valkey.
        position: The element's index in that list; negative counts from its end.
    """

    def __init__(self, key: str, position: int, reason: str) -> None:
        self.key = key
        self.position = position
        self.reason = reason
        super().__init__(
            f"element {position} of {key!r} is not a readable message: {reason}. "
            f"Nothing was changed. Look at it with LINDEX {key} {position}, "
            f'or pass on_corrupt="skip" to read past it.'
        )

    def __reduce__(self) -> tuple[type[CorruptMessageError], tuple[str, int, str]]:
        return type(self), (self.key, self.position, self.reason)


class DocumentError(ValkeyMemoryError, ValueError):
    """A document or a vector that the index cannot hold. Nothing of the call was written."""


class IndexMismatchError(ValkeyMemoryError, ValueError):
    """An index of that name exists in another shape. It was left as it is."""


class SearchUnavailableError(ValkeyMemoryError):
    """The server lacks the search or JSON commands that the store was asked to use."""


class ExactSearchLimitError(ValkeyMemoryError):
    """There are more documents than exact search in the client is meant for."""


class BulkWriteError(ValkeyMemoryError):
    """A bulk load stopped. What was written stays; load the rest again.

    Attributes:
        written: Ids of the documents that were written.
        unknown: Ids of the batch that failed: after a timeout they may have been written.
        remaining: Ids of the documents that were not sent.
    """

    def __init__(
        self, message: str, written: list[str], unknown: list[str], remaining: list[str]
    ) -> None:
        super().__init__(message)
        self.written = written
        self.unknown = unknown
        self.remaining = remaining

    def __reduce__(
        self,
    ) -> tuple[type[BulkWriteError], tuple[str, list[str], list[str], list[str]]]:
        return type(self), (str(self), self.written, self.unknown, self.remaining)


class EventLoopError(ValkeyMemoryError):
    """A ready async GLIDE client was used from another event loop than its own.

    No RuntimeError: LlamaIndex takes any of those for a loop problem of its own and hides it.
    """


class ConnectionClosedError(ValkeyMemoryError):
    """The connection was used after ``close()``."""


class ConnectionFailedError(ValkeyMemoryError, ConnectionError):
    """The server cannot be reached, or dropped the connection. A write may have been applied."""


class AuthenticationError(ConnectionFailedError):
    """The server was reached and refused the credentials."""


class OperationTimeoutError(ValkeyMemoryError, TimeoutError):
    """No reply came in time. The outcome is unknown: a write may have been applied."""


class KeyTypeError(ValkeyMemoryError):
    """The key exists and holds a value of another type. It was left as it is."""


class CommandError(ValkeyMemoryError):
    """The server answered with an error that no other class here stands for."""


class EmbeddedServerError(ValkeyMemoryError):
    """The embedded server cannot be started, or its directory is held by another process."""


_TIMEOUT_HINT = (
    "The outcome is unknown: a write may have been applied. Read before you write it again, "
    "or raise request_timeout."
)
_KEY_TYPE_HINT = (
    "The key holds a value of another type; it was left as it is. "
    "Choose another key_prefix, session id or index name."
)
_CONNECT_HINT = "Is the server running, and are address, port and TLS (valkeys://) right?"
_PERMISSION_HINT = (
    "Grant it to the ACL user: the commands, the keys of lists and of their sidecars, and +info, "
    "which GLIDE sends when it connects."
)

# First match wins. Each row: GLIDE's class name ("" is any), what its text contains in lower case
# ("" is anything), our class, and the way out. Texts are matched because GLIDE gives one class to
# every error reply, and because refused, unresolvable and TLS-mismatched addresses share one too.
_TABLE: tuple[tuple[str, str, type[ValkeyMemoryError], str], ...] = (
    ("", "wrongpass", AuthenticationError, "Check user and password in the URL."),
    ("", "noauth", AuthenticationError, "The server wants a password: valkey://:password@host."),
    ("", "no permissions", CommandError, _PERMISSION_HINT),
    ("", "noperm", CommandError, _PERMISSION_HINT),
    ("", "client is closed", ConnectionClosedError, "Open a new connection."),
    ("ConfigurationError", "", ConfigurationError, "Check the options of the connection."),
    ("ClosingError", "", ConnectionFailedError, _CONNECT_HINT),
    ("", "connect failed", ConnectionFailedError, _CONNECT_HINT),
    ("ConnectionError", "", ConnectionFailedError, "The outcome is unknown. " + _CONNECT_HINT),
    ("CircuitBreakerError", "", ConnectionFailedError, _CONNECT_HINT),
    ("TimeoutError", "", OperationTimeoutError, _TIMEOUT_HINT),
    ("", "wrongtype", KeyTypeError, _KEY_TYPE_HINT),
)


def translate(error: Exception, *, operation: str, address: str) -> ValkeyMemoryError:
    """Turn an exception of GLIDE's into ours, naming operation and address.

    Args:
        error: What GLIDE raised, or put in place of a reply.
        operation: What was tried, with its key: ``"append to 'chat:s1'"``.
        address: ``host:port`` of the server, never with credentials.
    """
    name, text = type(error).__name__, " ".join(str(error).split()).rstrip(".")
    lowered = text.lower()
    for class_name, part, ours, hint in _TABLE:
        if class_name in ("", name) and part in lowered:
            return ours(f"{operation} failed at {address}: {text}. {hint}")
    return CommandError(f"{operation} failed at {address}: {text}.")
