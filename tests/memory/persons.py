"""Users with everything that can be kept of them, and all keys of a server as values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from valkey_memory import LongTermMemory, MessageStore, SessionStore, UserData, ValkeyConnection
from valkey_memory._keys import episode_key, sidecar
from valkey_memory._memory.memories import EPISODE, new_document
from valkey_memory._plans import Plan, Scan, ScanPage
from valkey_memory._vectors.documents import Document

from ..models.words import Words, bag_of_words
from ..servers import send, send_all

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where a test keeps its users."""

    connection: ValkeyConnection
    prefix: str
    index: str
    search: Any = "exact"

    def data(self, **options: Any) -> UserData:
        known = {"key_prefix": self.prefix, "indexes": [self.index]}
        return UserData(connection=self.connection, **(known | options))

    def store(self, user_id: str | None, **options: Any) -> MessageStore:
        return MessageStore(
            connection=self.connection, key_prefix=self.prefix, user_id=user_id, **options
        )

    def sessions(self) -> SessionStore:
        return SessionStore(connection=self.connection, key_prefix=self.prefix)

    def memory(self) -> LongTermMemory:
        return LongTermMemory(
            Words(), connection=self.connection, index_name=self.index, search=self.search
        )

    def fill(self, user_id: str, name: str, conversations: int = 2) -> None:
        """Everything that can be kept of a user; ``name`` begins their session ids."""
        store = self.store(user_id, model="m")
        for number in range(conversations):
            store.extend(f"{name}-{number}", messages(3), title="T", tokens=5)
        store.archive_oldest(f"{name}-0", 1)
        summary = sidecar(f"{self.prefix}{name}-0", "summary")
        send(self.connection, "HSET", summary, "text", "So far.")
        store.set_ttl(f"{name}-0", 3600)
        self.sessions().update(f"{name}-empty", user_id=user_id, fields={"pinned": "yes"})
        memory = self.memory()
        memory.remember_turn(f"{name}-0", messages(2), user_id=user_id)
        fact = memory.remember(f"{name} cannot swim", user_id=user_id, metadata={"a": [1, (2,)]})
        memory.correct(fact, f"{name} swims", user_id=user_id)
        self.add_episode(user_id, f"{name}-episode")

    def add_episode(self, user_id: str, document_id: str) -> None:
        text = "A trip to the sea"
        made = new_document(document_id, EPISODE, text, user_id, 1_000, "english", title="Trip")
        vector = bag_of_words(text, 64)
        document = Document(document_id, made.content, made.metadata, vector)
        self.memory().index.upsert([document], ttl=7200)
        key = episode_key(self.index, document_id)
        send_all(
            self.connection,
            ("RPUSH", key, b'{"role":"user","content":"To the sea!","ts":1}', b"\xff no json"),
            ("PEXPIRE", key, "7200000"),
        )

    def keys(self) -> list[bytes]:
        """All keys of the test, but for the log of changes and the shape."""

        def scan_plan() -> Plan[set[bytes]]:
            found: set[bytes] = set()
            cursor = None
            while True:
                page: ScanPage = yield Scan("test", "*", None, cursor)
                found |= set(page.keys)
                if (cursor := page.cursor) is None:
                    return found

        own = (self.prefix.encode(), self.index.encode())
        aside = {f"{{{self.index}}}:{name}".encode() for name in ("changes", "shape")}
        found = self.connection.run(scan_plan())
        return sorted(key for key in found if any(o in key for o in own) and key not in aside)

    def content(self) -> dict[bytes, Any]:
        """``everything`` but for the tokens of writes."""
        return {k: v for k, v in self.everything().items() if not k.endswith(b":writes")}

    def everything(self) -> dict[bytes, Any]:
        """What all keys of the test hold, and minutes until they expire."""
        return {key: (self._value(key), self._minutes(key)) for key in self.keys()}

    def _minutes(self, key: bytes) -> int:
        return round(int(send(self.connection, "PTTL", key)) / 60_000)

    def _value(self, key: bytes) -> Any:
        kind = send(self.connection, "TYPE", key)
        reads = {
            "list": ("LRANGE", key, "0", "-1"),
            "hash": ("HGETALL", key),
            "zset": ("ZRANGE", key, "0", "-1", "WITHSCORES"),
            "string": ("GET", key),
        }
        name = kind.decode() if isinstance(kind, bytes) else kind
        return name, send(self.connection, *reads[name])


def messages(number: int) -> list[dict[str, Any]]:
    roles = ("user", "assistant")
    return [{"role": roles[n % 2], "content": f"message {n}"} for n in range(number)]


class Killed(BaseException):
    """The process ends here."""


def killed_after(plan: Plan[T], steps: int) -> Plan[T]:
    """``plan``, of which so many steps are carried out, and nothing more."""
    reply: Any = None
    for _ in range(steps):
        try:
            step = plan.send(reply)
        except StopIteration as done:
            result: T = done.value
            return result
        reply = yield step
    raise Killed


def numbers_until_done(most: int = 500) -> Iterator[int]:
    yield from range(most)
    raise AssertionError("it does not end")
