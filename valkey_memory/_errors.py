"""Every error this library raises.

    ValkeyMemoryError
    |-- ConfigurationError (ValueError)       a URL, an installation or options that cannot work
    |-- InvalidArgumentError (ValueError)     a TTL, a window, an index out of its domain
    |   |-- InvalidSessionIdError             a session id that cannot become a key
    |   |-- NotOwnerError                     a conversation that is another user's
    |   `-- ExportFileError                   an export that is damaged, or no export
    |-- FilterError (ValueError)              a filter that cannot be served as it is
    |-- MessageEncodeError (ValueError)       a message that JSON cannot hold
    |-- CorruptMessageError (ValueError)      a stored element that is not a message
    |-- DocumentError (ValueError)            a document or vector that the index cannot hold
    |-- IndexMismatchError (ValueError)       an index that exists in another shape
    |-- SearchUnavailableError                the server lacks what the store was asked to use
    |-- ExactSearchLimitError                 more documents than exact search is meant for
    |-- BulkWriteError                        a bulk load that stopped; it says what was written
    |-- ErasureIncompleteError                something of a user is left after all attempts
    |-- EventLoopError                        a given async client used from a foreign loop
    |-- ConnectionClosedError                 used after close()
    |-- ConnectionFailedError (ConnectionError)   the server cannot be reached
    |   |-- AuthenticationError               it was reached, and refused the credentials
    |   `-- ConnectionLostError               it broke before the reply: the outcome is unknown
    |-- OperationTimeoutError (TimeoutError)  no reply in time: the outcome is unknown
    |   `-- ReplyLostError                    it was applied, and what it returned is lost
    |-- KeyTypeError                          the key holds a value of another type
    |-- CommandError                          any other error reply of the server
    |   |-- ServerUnavailableError            it cannot serve for now: loading, failing over, busy
    |   |-- WriteRefusedError                 it takes no writes: full, or cannot save
    |   |   `-- NotPrimaryError               it is a replica
    |   |-- PermissionDeniedError             the ACL user may not do that
    |   |-- UnknownCommandError               the server lacks the command, or its module
    |   |-- IndexNotFoundError                the server has no index of that name
    |   `-- IndexExistsError                  the server has one already
    `-- EmbeddedServerError                   the private server cannot start or is held elsewhere

Errors that blame the caller are also ``ValueError``; those of the network are also the builtin
``ConnectionError`` or ``TimeoutError``, so code that knows nothing of this library still catches
them. What may have been applied all the same says so with ``outcome_unknown``.
"""

from __future__ import annotations


class ValkeyMemoryError(Exception):
    """Base class of every error raised by this library.

    Attributes:
        outcome_unknown: Whether a write that raised this may have been applied. False: it was not.
    """

    outcome_unknown: bool = False


class ConfigurationError(ValkeyMemoryError, ValueError):
    """A URL, an installation or options that cannot work. Nothing was sent to the server."""


class InvalidArgumentError(ValkeyMemoryError, ValueError):
    """An argument outside its domain. Nothing was sent to the server."""


class InvalidSessionIdError(InvalidArgumentError):
    """A session id that cannot become a key. Nothing was sent to the server."""


class NotOwnerError(InvalidArgumentError):
    """The conversation is on record as another user's. Nothing of it was told or changed."""


class ExportFileError(InvalidArgumentError):
    """A file that is no export of this library, or is not whole."""


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


class ErasureIncompleteError(ValkeyMemoryError):
    """Something of a user is still there after all attempts to erase it. Erase again.

    Attributes:
        left: How much, by what it is: ``"conversations"``, ``"memories"``.
    """

    def __init__(self, message: str, left: dict[str, int]) -> None:
        super().__init__(message)
        self.left = left

    def __reduce__(self) -> tuple[type[ErasureIncompleteError], tuple[str, dict[str, int]]]:
        return type(self), (str(self), self.left)


class EventLoopError(ValkeyMemoryError):
    """A ready async GLIDE client was used from another event loop than its own.

    No RuntimeError: LlamaIndex takes any of those for a loop problem of its own and hides it.
    """


class ConnectionClosedError(ValkeyMemoryError):
    """The connection was used after ``close()``."""


class ConnectionFailedError(ValkeyMemoryError, ConnectionError):
    """The server cannot be reached. Nothing was sent to it."""


class AuthenticationError(ConnectionFailedError):
    """The server was reached and refused the credentials.

    After a password was changed on the server it may come for a call that had been sent before.
    """


class ConnectionLostError(ConnectionFailedError):
    """The connection broke before the reply. The outcome is unknown, as after a timeout."""

    outcome_unknown = True


class OperationTimeoutError(ValkeyMemoryError, TimeoutError):
    """No reply came in time. The outcome is unknown: a write may have been applied."""

    outcome_unknown = True


class ReplyLostError(OperationTimeoutError):
    """A change was applied, once, but the reply that held what it returned was lost on the way."""

    outcome_unknown = False


class KeyTypeError(ValkeyMemoryError):
    """The key exists and holds a value of another type. It was left as it is."""


class CommandError(ValkeyMemoryError):
    """The server answered with an error that no other class here stands for."""


class ServerUnavailableError(CommandError):
    """The server cannot serve the call for now. Nothing was applied.

    It loads its data, its cluster is failing over or moving slots, or a script keeps it busy. The
    library tried again for ``request_timeout`` before it raised this.
    """


class WriteRefusedError(CommandError):
    """The server takes no writes: it is full, cannot save, or lacks replicas.

    Nothing was applied.
    """


class NotPrimaryError(WriteRefusedError):
    """The server is a replica, by now. Nothing was applied.

    The library opened new connections for ``request_timeout`` before it raised this, and found no
    primary behind the address.
    """


class PermissionDeniedError(CommandError):
    """The user of the connection may not use a command or a key. Nothing was changed."""


class UnknownCommandError(CommandError):
    """The server lacks a command, or the module that has it. Nothing was changed."""


class IndexNotFoundError(CommandError):
    """The server has no search index of that name."""


class IndexExistsError(CommandError):
    """The server has a search index of that name already. It was left as it is."""


class ModelAnswerError(ValkeyMemoryError):
    """What a chat model answered cannot be used: it is empty, or far too long."""


class EmbeddedServerError(ValkeyMemoryError):
    """The embedded server cannot be started, or its directory is held by another process."""
