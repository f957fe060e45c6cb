"""The one table that maps GLIDE's errors to this library's."""

from __future__ import annotations

import re

from .._errors import (
    AuthenticationError,
    CommandError,
    ConfigurationError,
    ConnectionClosedError,
    ConnectionFailedError,
    IndexExistsError,
    IndexNotFoundError,
    KeyTypeError,
    OperationTimeoutError,
    PermissionDeniedError,
    UnknownCommandError,
    ValkeyMemoryError,
)

_TIMEOUT_HINT = (
    "The outcome is unknown: a write may have been applied. Read before you write it again, "
    "or raise request_timeout."
)
_KEY_TYPE_HINT = (
    "The key holds a value of another type; it was left as it is. "
    "Choose another key_prefix, session id or index name."
)
_CONNECT_HINT = "Is the server running, and are address, port and TLS (valkeys://) right?"
_UNKNOWN_HINT = "Load the module that has it, or use a server that does."
_INDEX_EXISTS_HINT = "It was left as it is."
_INDEX_NOT_FOUND_HINT = "Make it first, or look at the names with FT._LIST."
_PERMISSION_HINT = (
    "Grant it to the ACL user: the commands, the keys of lists and of their sidecars, and +info, "
    "which GLIDE sends when it connects."
)

# What the server adds where a command failed inside a script.
_SCRIPT_LINE = re.compile(r"[. ]*script:.*@user_script:\d+")

# First match wins. Each row: GLIDE's class name ("" is any), a pattern of its text in lower case
# ("" is anything), our class, and the way out. Texts are matched because GLIDE gives one class to
# every error reply, and because refused, unresolvable and TLS-mismatched addresses share one too.
_TABLE: tuple[tuple[str, str, type[ValkeyMemoryError], str], ...] = (
    ("", "wrongpass", AuthenticationError, "Check user and password in the URL."),
    ("", "noauth", AuthenticationError, "The server wants a password: valkey://:password@host."),
    ("", "no permissions", PermissionDeniedError, _PERMISSION_HINT),
    ("", "noperm", PermissionDeniedError, _PERMISSION_HINT),
    ("", "client is closed", ConnectionClosedError, "Open a new connection."),
    ("ConfigurationError", "", ConfigurationError, "Check the options of the connection."),
    ("ClosingError", "", ConnectionFailedError, _CONNECT_HINT),
    ("", "connect failed", ConnectionFailedError, _CONNECT_HINT),
    ("ConnectionError", "", ConnectionFailedError, "The outcome is unknown. " + _CONNECT_HINT),
    ("CircuitBreakerError", "", ConnectionFailedError, _CONNECT_HINT),
    ("TimeoutError", "", OperationTimeoutError, _TIMEOUT_HINT),
    ("", "wrongtype", KeyTypeError, _KEY_TYPE_HINT),
    ("", "unknown command", UnknownCommandError, _UNKNOWN_HINT),
    ("", "index.* already exists", IndexExistsError, _INDEX_EXISTS_HINT),
    ("", "index.* not found", IndexNotFoundError, _INDEX_NOT_FOUND_HINT),
)


def translate(error: Exception, *, operation: str, address: str) -> ValkeyMemoryError:
    """Turn an exception of GLIDE's into ours, naming operation and address.

    Args:
        error: What GLIDE raised, or put in place of a reply.
        operation: What was tried, with its key: ``"append to 'chat:s1'"``.
        address: ``host:port`` of the server, never with credentials.
    """
    name, text = type(error).__name__, " ".join(str(error).split())
    text = _SCRIPT_LINE.sub("", text).rstrip(".")
    lowered = text.lower()
    for class_name, part, ours, hint in _TABLE:
        if class_name in ("", name) and re.search(part, lowered):
            return ours(f"{operation} failed at {address}: {text}. {hint}")
    return CommandError(f"{operation} failed at {address}: {text}.")
