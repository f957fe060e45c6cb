"""Where things live: ids to keys and back. Keys are built here, and nowhere else.

Braces in an id would move the hash tag, and control characters break logs and terminals, so these
are percent-encoded. A percent sign is encoded only where it would otherwise be read as such an
escape; every other id, ``50% off`` included, stands in the key as it is.
"""

from .conversations import (
    ARCHIVED,
    MEMORY,
    META,
    SIDECARS,
    SUMMARY,
    WRITES,
    content_keys,
    conversation_keys,
    conversations_pattern,
    keys_and_types,
    list_key,
    session_id,
)
from .documents import (
    changes_key,
    document_id,
    document_ids,
    document_key,
    document_prefix,
    episode_key,
    probe_key,
    shape_key,
)
from .entries import (
    digest,
    entries_prefix,
    entry_key,
    is_entry,
)
from .items import (
    entries_key,
    expiring_key,
    item_index,
    item_key,
    missing_key,
    unindexed_key,
)
from .names import (
    check_prefix,
    decode,
    encode,
    scan_pattern,
    sidecar,
    slot,
)
from .runs import (
    run_key,
    run_of,
    runs_key,
    runs_pattern,
)
from .threads import (
    thread_keys,
    thread_of,
    threads_pattern,
)
from .tools import (
    tool_claim_key,
    tool_key,
    tool_key_of,
    tool_keys_pattern,
)
from .users import (
    ERASING,
    SESSIONS,
    user_key,
    user_of,
    users_pattern,
)

__all__ = [
    "ARCHIVED",
    "ERASING",
    "MEMORY",
    "META",
    "SESSIONS",
    "SIDECARS",
    "SUMMARY",
    "WRITES",
    "changes_key",
    "check_prefix",
    "content_keys",
    "conversation_keys",
    "conversations_pattern",
    "decode",
    "digest",
    "document_id",
    "document_ids",
    "document_key",
    "document_prefix",
    "encode",
    "entries_key",
    "entries_prefix",
    "entry_key",
    "episode_key",
    "expiring_key",
    "is_entry",
    "item_index",
    "item_key",
    "keys_and_types",
    "list_key",
    "missing_key",
    "probe_key",
    "run_key",
    "run_of",
    "runs_key",
    "runs_pattern",
    "scan_pattern",
    "session_id",
    "shape_key",
    "sidecar",
    "slot",
    "thread_keys",
    "thread_of",
    "threads_pattern",
    "tool_claim_key",
    "tool_key",
    "tool_key_of",
    "tool_keys_pattern",
    "unindexed_key",
    "user_key",
    "user_of",
    "users_pattern",
]
