"""``SessionStore``: which conversations a user has, and what is known of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from .. import _keys
from .._plans import Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from . import sessions
from .sessions import Session

T = TypeVar("T")


class SessionStore:
    """The sessions of users: each conversation's record, and each user's list of them.

    A store or history that was given ``user_id=`` keeps the records at each of its writes; this
    reads them, and changes what people change, such as titles. Every method has an async twin with
    the prefix ``a``. Safe to share between threads and event loops.

    Examples:
        >>> from valkey_memory import MessageStore, SessionStore
        >>> store = MessageStore(url="embedded://", user_id="alice", model="claude-sonnet")
        >>> store.append("s1", {"role": "user", "content": "What is Valkey?"})
        >>> sessions = SessionStore(url="embedded://")
        >>> sessions.update("s1", title="About Valkey").title
        'About Valkey'
        >>> [(session.session_id, session.message_count) for session in sessions.of_user("alice")]
        [('s1', 1)]

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: That of the conversations. Users of another prefix are other users.

    Raises:
        ConfigurationError, InvalidArgumentError: An argument cannot work.
        ConnectionFailedError, OperationTimeoutError, KeyTypeError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        key_prefix: str = "chat:",
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._key_prefix = _keys.check_prefix(key_prefix)
        self.connection = choose_connection(url, connection)

    def _run(self, plan: Plan[T]) -> T:
        return self.connection.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self.connection.arun(plan)

    def get(self, session_id: str) -> Session | None:
        """The record of a conversation; None where none was kept. One round trip."""
        return self._run(sessions.session_plan(self._key_prefix, session_id))

    async def aget(self, session_id: str) -> Session | None:
        """Async ``get``."""
        return await self._arun(sessions.session_plan(self._key_prefix, session_id))

    def update(
        self,
        session_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        user_id: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> Session:
        """Change a record, which is made if there is none, and return it.

        It does not count as activity, and leaves the TTL as it is.

        Args:
            session_id: The conversation; it may have no messages yet.
            title: Its title from now on. None, here and below, leaves what there is.
            model: The model that answers in it.
            user_id: Whose it is from now on: it moves to that user's list.
            fields: Fields of your own, texts by their names; None deletes one.

        Round trips: one; with ``user_id`` two.
        """
        return self._run(
            sessions.update_plan(
                self._key_prefix,
                session_id,
                user_id=user_id,
                title=title,
                model=model,
                fields=fields,
            )
        )

    async def aupdate(
        self,
        session_id: str,
        *,
        title: str | None = None,
        model: str | None = None,
        user_id: str | None = None,
        fields: Mapping[str, str | None] | None = None,
    ) -> Session:
        """Async ``update``."""
        return await self._arun(
            sessions.update_plan(
                self._key_prefix,
                session_id,
                user_id=user_id,
                title=title,
                model=model,
                fields=fields,
            )
        )

    def of_user(
        self, user_id: str, limit: int = 20, before: Session | float | None = None
    ) -> list[Session]:
        """The sessions of a user, the last active first; none of anybody else.

        Args:
            user_id: The user, exactly.
            limit: At most so many.
            before: The next page: pass the last session of the page before. A time in Unix seconds
                gives those that were last active before it.

        Round trips: two, whatever else the server holds, for each 500; one more where conversations
        have expired, whose entries it drops. Nothing is scanned.
        """
        return self._run(sessions.of_user_plan(self._key_prefix, user_id, limit, before))

    async def aof_user(
        self, user_id: str, limit: int = 20, before: Session | float | None = None
    ) -> list[Session]:
        """Async ``of_user``."""
        return await self._arun(sessions.of_user_plan(self._key_prefix, user_id, limit, before))

    def count(self, user_id: str) -> int:
        """How many sessions a user has, without expired ones. Round trips as ``of_user``."""
        return self._run(sessions.count_of_user_plan(self._key_prefix, user_id))

    async def acount(self, user_id: str) -> int:
        """Async ``count``."""
        return await self._arun(sessions.count_of_user_plan(self._key_prefix, user_id))

    def delete(self, session_id: str) -> bool:
        """Delete a conversation: messages, record, and its entry in its user's list.

        Returns:
            Whether there was one.

        Round trips: two.
        """
        return self._run(sessions.delete_session_plan(self._key_prefix, session_id))

    async def adelete(self, session_id: str) -> bool:
        """Async ``delete``."""
        return await self._arun(sessions.delete_session_plan(self._key_prefix, session_id))

    def __repr__(self) -> str:
        return f"SessionStore({self.connection!r}, key_prefix={self._key_prefix!r})"
