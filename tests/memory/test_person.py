"""A person's data in one call each."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from valkey_memory import (
    ExportFileError,
    InvalidArgumentError,
    MessageStore,
    export_user,
    forget_user,
    import_user,
)

from .test_long_term import turn


def test_there_and_back(plain_memory: Any, prefix: str) -> None:
    connection = plain_memory.connection
    where = {"connection": connection, "key_prefix": prefix}
    indexes = [plain_memory.index.name]
    user = f"alice-{uuid.uuid4().hex}"
    store = MessageStore(user_id=user, **where)
    store.extend("s1", turn("I like tea.", "I see."))
    plain_memory.remember_turn("s1", turn("I like tea.", "I see."), user_id=user)
    plain_memory.remember("Alice likes tea.", user_id=user)
    known = plain_memory.list(user)
    lines = list(export_user(user, indexes=indexes, **where))
    assert all(json.loads(line) for line in lines)
    with pytest.raises(InvalidArgumentError, match="exist"):
        import_user(lines, user_id=user, **where)
    receipt = forget_user(user, indexes=indexes, **where)
    assert (receipt.conversations, receipt.memories) == (1, 3)
    assert (plain_memory.list(user), store.messages("s1")) == ([], [])
    with pytest.raises(ExportFileError, match=r"^the file"):
        import_user(lines[:-1], **where)
    assert import_user(lines, user_id=user, **where).memories == 3
    assert plain_memory.list(user) == known
    assert store.messages("s1") == turn("I like tea.", "I see.")
    assert forget_user("nobody", indexes=indexes, **where).conversations == 0
