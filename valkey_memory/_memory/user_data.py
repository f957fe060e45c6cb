"""``UserData``: all that is kept of a person, to be counted, handed out, and erased."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from .. import _keys
from .._arguments import check_text, shown
from .._conversations.erasing import owners_plan
from .._errors import ConfigurationError, InvalidArgumentError
from .._plans import Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .._vectors.schema import IndexSchema
from .._vectors.storage import Progress
from .erasure import KeepsOfUsers, forget_plan, left_plan, unfinished_plan
from .files import File, reading, writing
from .receipts import Receipt, UserCounts
from .user_transfer import Existing, export_plan, import_plan

T = TypeVar("T")


class UserData:
    """What is kept of a user: conversations with archived messages, summaries and records, their
    list, and their documents in indexes, such as messages, facts and episodes of a
    ``LongTermMemory``. No embedding model is needed.

    Conversations are those in the user's list: of stores and histories that were given a
    ``user_id``. One whose record names another user by now is the other's. Documents are those
    whose metadata name the user under ``user_id``, exactly. Other objects that keep something of
    users, such as a ``ToolCache`` or a ``RunLog``, erase it along with these where ``also`` names
    them.

    Every method has an async twin with the prefix ``a``. Safe to share between threads and event
    loops.

    Examples:
        >>> import io
        >>> from valkey_memory import MessageStore, UserData
        >>> store = MessageStore(url="embedded://", user_id="alice")
        >>> store.append("s1", {"role": "user", "content": "My name is Alice."})
        >>> data, copy = UserData(url="embedded://"), io.BytesIO()
        >>> data.export_user("alice", copy).messages
        1
        >>> data.forget_user("alice").conversations
        1
        >>> data.import_user(copy, user_id="alice").conversations
        1

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: That of the conversations. Users of another prefix are other users.
        indexes: Names of the indexes to look through: ``index_name`` of each ``LongTermMemory``,
            and any other with the tag ``user_id``. Those that do not exist are empty.
        also: What else keeps something of users: ``ToolCache`` and ``RunLog`` objects, or your own
            with ``clear(user_id=)`` and ``aclear(user_id=)``, which return how much it was. They
            may be on other servers. ``forget_user`` has them clear it; ``count`` and
            ``export_user`` ask them nothing.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "chat:",
        indexes: Sequence[str] = ("memory",),
        also: Sequence[KeepsOfUsers] = (),
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        if isinstance(indexes, str) or not isinstance(indexes, Sequence):
            raise ConfigurationError(
                f'indexes must be a list of names such as ["memory"], not {shown(indexes)}'
            )
        if not isinstance(also, Sequence) or not all(map(_clears, also)):
            raise ConfigurationError(
                "also must be a list of objects with clear(user_id=) and aclear(user_id=), such as "
                f"[tool_cache], not {shown(also)}"
            )
        self._also = tuple(also)
        self._key_prefix = _keys.check_prefix(key_prefix)
        self._indexes = tuple(dict.fromkeys(IndexSchema(name).name for name in indexes))
        self.connection = choose_connection(url, connection)
        self._primaries = self.connection.for_primaries()

    def __repr__(self) -> str:
        return (
            f"UserData({self.connection!r}, key_prefix={self._key_prefix!r}, "
            f"indexes={self._indexes!r})"
        )

    # Looking

    def count(self, user_id: str) -> UserCounts:
        """How many conversations and memories there are of a user; other counts stay 0.

        Round trips: as a look of ``forget_user``, and one per 1,000 conversations.
        """
        return self._primaries.run(self._count_plan(user_id))

    async def acount(self, user_id: str) -> UserCounts:
        """Async ``count``."""
        return await self._primaries.arun(self._count_plan(user_id))

    def _count_plan(self, user_id: str) -> Plan[UserCounts]:
        check_text(user_id, "user_id")
        left = yield from left_plan(self._key_prefix, user_id, self._indexes)
        ids = [one for entry in left.entries if (one := entry.session_id) is not None]
        owners = yield from owners_plan(self._key_prefix, ids)
        theirs = [one for one in owners.values() if one in (None, user_id)]
        return UserCounts(conversations=len(theirs), memories=left.memories)

    # Erasing

    def forget_user(self, user_id: str, *, progress: Progress | None = None) -> Receipt:
        """Erase all that is kept of a user, and return when it was read back that nothing is left.

        Conversations go one by one, each at once with all its keys; then documents. Their keys are
        read from the user's list and from the indexes. What is written meanwhile is found by
        another look, ten times at most; stop who writes for the user before. A key,
        ``{user:alice}:erasing``, stands while it runs: where it is interrupted, call it again, and
        it goes on; ``unfinished`` names such users. Erasing somebody again deletes nothing.

        Args:
            user_id: Whose, exactly.
            progress: Called after each batch with how many conversations and documents are done,
                and of how many.

        Returns:
            How much was deleted, and when.

        Raises:
            ErasureIncompleteError: Something is left, because it is written anew all the time.
            KeyTypeError: A key of a conversation holds a value of another type; it was left. All
                else is deleted.

        Round trips: three per 200 conversations, five per 500 documents, and two looks at least. A
        look is one for the list, and for each index three where the server's index surely has all
        documents; in a cluster, and with exact search, it walks the keyspace instead. Each object
        of ``also`` that has something walks the keyspace twice, others once.
        """
        return self._primaries.run(self._forget_plan(user_id, progress))

    async def aforget_user(self, user_id: str, *, progress: Progress | None = None) -> Receipt:
        """Async ``forget_user``."""
        return await self._primaries.arun(self._forget_plan(user_id, progress))

    def _forget_plan(self, user_id: str, progress: Progress | None) -> Plan[Receipt]:
        check_text(user_id, "user_id")
        return (
            yield from forget_plan(self._key_prefix, user_id, self._indexes, progress, self._also)
        )

    def unfinished(self) -> list[str]:
        """Users whose erasing was interrupted, sorted. It walks the keyspace."""
        return self._primaries.run(unfinished_plan(self._key_prefix))

    async def aunfinished(self) -> list[str]:
        """Async ``unfinished``."""
        return await self._primaries.arun(unfinished_plan(self._key_prefix))

    # Handing out

    def export_user(
        self, user_id: str, target: File, *, progress: Progress | None = None
    ) -> UserCounts:
        """Write all that is kept of a user as JSON lines, vectors and what is left of TTLs with it.

        Each conversation is as of one moment. ``import_user`` and ``valkey-memory import`` read it.

        Args:
            user_id: Whose, exactly.
            target: A path, or a file that is open for writing bytes. What is at the path is
                replaced when all is written; only its owner may read it.
            progress: Called after each batch with how many conversations and documents are done,
                and of how many.

        Raises:
            DocumentError: Another program wrote a document that cannot be read.
            KeyTypeError: A key of a conversation holds a value of another type.
            OSError: The file cannot be written.

        Round trips: two per 200 conversations or 2,000 messages, two per 200 documents, and a look
        as in ``forget_user``.
        """
        check_text(user_id, "user_id")
        with writing(target) as file:
            plan = export_plan(self._key_prefix, user_id, self._indexes, file, progress)
            return self._primaries.run(plan)

    async def aexport_user(
        self, user_id: str, target: File, *, progress: Progress | None = None
    ) -> UserCounts:
        """Async ``export_user``. Files are written in a thread."""
        check_text(user_id, "user_id")
        with writing(target) as file:
            plan = export_plan(self._key_prefix, user_id, self._indexes, file, progress)
            return await self._primaries.arun(plan)

    def import_user(
        self,
        source: File,
        *,
        user_id: str | None = None,
        existing: Existing = "refuse",
        progress: Progress | None = None,
    ) -> UserCounts:
        """Write back what ``export_user`` wrote, to any server; TTLs begin again.

        The whole file is checked before anything is written. Documents go to the indexes that the
        file names; those that do not exist are made. Where it was interrupted, call it again with
        ``existing="replace"``.

        Args:
            source: A path, or a file of bytes that can be read twice.
            user_id: Whose it must be; by default it may be anybody's.
            existing: ``"refuse"`` writes nothing where any of it exists. ``"replace"`` puts
                conversations and documents of the file in place of the same ones; others stay.
            progress: As in ``export_user``.

        Raises:
            ExportFileError: The file is damaged, or no export of a user, or of another user.
            InvalidArgumentError: Something exists, or is another user's by now.
            IndexMismatchError: An index that the file names exists in another shape.
            BulkWriteError: It stopped on the way; do it again with ``existing="replace"``.
            OSError: The file cannot be read.

        Round trips: one per 1,000 conversations and one per 500 documents that look for what
        exists; one per 200 conversations or 4 MB, and one per 200 documents, that write.
        """
        _check_import(user_id, existing)
        with reading(source) as (file, name):
            plan = import_plan(self._key_prefix, user_id, existing, file, name, progress)
            return self._primaries.run(plan)

    async def aimport_user(
        self,
        source: File,
        *,
        user_id: str | None = None,
        existing: Existing = "refuse",
        progress: Progress | None = None,
    ) -> UserCounts:
        """Async ``import_user``. Files are read in a thread."""
        _check_import(user_id, existing)
        with reading(source) as (file, name):
            plan = import_plan(self._key_prefix, user_id, existing, file, name, progress)
            return await self._primaries.arun(plan)


def _clears(keeper: object) -> bool:
    methods = (getattr(keeper, name, None) for name in ("clear", "aclear"))
    return not isinstance(keeper, type) and all(map(callable, methods))


def _check_import(user_id: str | None, existing: Existing) -> None:
    if user_id is not None:
        check_text(user_id, "user_id")
    if existing not in ("refuse", "replace"):
        raise InvalidArgumentError(f'existing {shown(existing)} is unknown: "refuse" or "replace"')
