"""``LongTermMemory``: what users said and what is known of them, across conversations."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from .. import _keys
from .._arguments import TTL
from .._errors import InvalidArgumentError
from .._plans import Plan
from .._secrets import hide_url
from .._server.connection import ValkeyConnection
from .._vectors.engine import Search
from .._vectors.limits import EXACT_LIMIT
from .._vectors.schema import Algorithm
from .._vectors.text_index import TextIndex
from .advice import Advising
from .episodes import forget_plan
from .learning import Learning
from .memories import FACT, FIELDS, Time
from .reading import Reading
from .remembering import correct_plan, remember_plan, remember_turn_plan, rules
from .turns import ROLES


class _Missing(enum.Enum):
    """No argument. None is one, and it is refused: ``ids=None`` must not mean all of them."""

    MISSING = enum.auto()


_MISSING = _Missing.MISSING


class LongTermMemory(Reading, Learning, Advising):
    """Memories of many users in one index: messages of any session, facts, and kinds of your own.

    Each call names the user whose memories it reads or writes, and sees no others, whatever the ids
    are. What is stored twice is stored once. On a server with valkey-search memories are found by
    its index; anywhere else exactly, by reading them (``VectorIndex`` says how).

    Every method has an async twin with the prefix ``a``. Safe to share between threads and event
    loops.

    Examples:
        >>> from valkey_memory import LocalEmbedding, LongTermMemory
        >>> memory = LongTermMemory(LocalEmbedding(), url="embedded://", index_name="doc")
        >>> turn = [
        ...     {"role": "user", "content": "My sister Mia moved to Lisbon in May."},
        ...     {"role": "assistant", "content": "How does she like it there?"},
        ... ]
        >>> ids = memory.remember_turn("s1", turn, user_id="alice")
        >>> memory.recall("Where does my sister live?", user_id="alice", k=1)[0].text
        'My sister Mia moved to Lisbon in May.'
        >>> memory.recall("Where does my sister live?", user_id="bob")
        []

    Args:
        embedding: A model of LangChain or LlamaIndex, ``LocalEmbedding()``, or a function from a
            list of texts to their vectors.
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        index_name: The index of all users; memories are at ``{index_name}:{id}``.
        key_prefix: That of the conversations, which ``extract_facts`` reads.
        dimension: Numbers per vector; by default known from the model, or learned.
        language: Of the words, for ranking by them: one of Snowball's stemmers.
        roles: Whose messages ``remember_turn`` stores: by default no system's and no tools'.
        min_length: It leaves out shorter messages; in characters.
        ttl: Seconds, or a timedelta, for which a memory is kept; by default for ever.
        search: ``"server"``, ``"exact"``, or ``"auto"``: the server's if it has valkey-search.
        algorithm: Of the server's index. ``"flat"`` compares the question with all memories of the
            user, and finds all; ``"hnsw"`` misses some where many users say nearly the same.
        exact_limit: How many memories, of all users, an exact search reads at most.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; nothing was sent.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method.
    """

    def __init__(
        self,
        embedding: Any,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        index_name: str = "memory",
        key_prefix: str = "chat:",
        dimension: int | None = None,
        language: str = "english",
        roles: Sequence[str] = ROLES,
        min_length: int = 1,
        ttl: TTL | None = None,
        search: Search = "auto",
        algorithm: Algorithm = "flat",
        exact_limit: int = EXACT_LIMIT,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        self._rules = rules(roles, min_length, language)
        self._key_prefix = _keys.check_prefix(key_prefix)
        self._texts = TextIndex(
            embedding,
            index_name,
            dimension,
            fields=FIELDS,
            url=url,
            connection=connection,
            storage="hash",
            search=search,
            algorithm=algorithm,
            ttl=ttl,
            exact_limit=exact_limit,
        )
        self._told = {}
        self.embedding = embedding
        self.index = self._texts.index
        self.connection = self.index.connection

    def __repr__(self) -> str:
        return f"LongTermMemory({type(self.embedding).__name__}, index_name={self.index.name!r})"

    # Writing

    def remember(
        self,
        text: str,
        *,
        user_id: str,
        kind: str = FACT,
        session_id: str | None = None,
        created_at: Time | None = None,
        importance: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Store a text, and return its id.

        Nearly the same text of the same user and kind, but for case, articles and punctuation
        around words, is stored once: the first stays as it is, and its id is returned.

        Args:
            text: What is remembered.
            user_id: Whose it is.
            kind: ``"fact"``, or one of your own; not ``"message"`` or ``"episode"``.
            session_id: The conversation that it comes from.
            created_at: A datetime with a time zone, or Unix seconds; by default now.
            importance: A number of yours, which comes back.
            metadata: Values of yours, as ``Document`` takes them.

        Raises:
            InvalidArgumentError: An argument cannot be; nothing was stored.

        Round trips: one that reads, one that writes; one call of the model between them.
        """
        return self.index.run(
            remember_plan(
                self._texts,
                self._rules,
                text,
                user_id,
                kind,
                session_id,
                created_at,
                importance,
                metadata,
            )
        )

    async def aremember(
        self,
        text: str,
        *,
        user_id: str,
        kind: str = FACT,
        session_id: str | None = None,
        created_at: Time | None = None,
        importance: float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Async ``remember``."""
        return await self.index.arun(
            remember_plan(
                self._texts,
                self._rules,
                text,
                user_id,
                kind,
                session_id,
                created_at,
                importance,
                metadata,
            )
        )

    def remember_turn(
        self,
        session_id: str,
        messages: Sequence[Any],
        *,
        user_id: str,
        created_at: Time | None = None,
    ) -> list[str]:
        """Store the messages of a turn, or of a whole conversation, each of them once.

        A message is known by its own id. Without one, it is known by who says what, at
        ``created_at`` if that is given, and as the how-manieth of its like in the call: pass ids or
        times where somebody says the same again in a later turn and both shall be found.

        Args:
            session_id: The conversation.
            messages: In order: dicts with ``role`` and ``content``, messages of LangChain or of
                LlamaIndex. Of each the text is stored, without payloads of tools and reasoning.
            user_id: Whose it is.
            created_at: When it was said. By default ``ts`` of a stored dict, or now.

        Returns:
            The ids of the messages that are remembered, new or not, in order.

        Round trips: one that reads where all are known; else two, and one that writes. One call of
        the model.
        """
        plan = remember_turn_plan(
            self._texts, self._rules, session_id, messages, user_id, created_at
        )
        return self.index.run(plan)

    async def aremember_turn(
        self,
        session_id: str,
        messages: Sequence[Any],
        *,
        user_id: str,
        created_at: Time | None = None,
    ) -> list[str]:
        """Async ``remember_turn``."""
        plan = remember_turn_plan(
            self._texts, self._rules, session_id, messages, user_id, created_at
        )
        return await self.index.arun(plan)

    def correct(self, memory_id: str, text: str, *, user_id: str) -> str:
        """Replace what a fact says; the id of the new one.

        The old one stays with ``valid_until``, and the new one names it as ``replaces``.

        Raises:
            InvalidArgumentError: The user has no such memory, or it is a message or an episode.

        Round trips: two that read, one that writes.
        """
        return self.index.run(correct_plan(self._texts, self._rules, memory_id, text, user_id))

    async def acorrect(self, memory_id: str, text: str, *, user_id: str) -> str:
        """Async ``correct``."""
        plan = correct_plan(self._texts, self._rules, memory_id, text, user_id)
        return await self.index.arun(plan)

    # Forgetting

    def forget(
        self,
        *,
        user_id: str,
        ids: Iterable[str] | Literal[_Missing.MISSING] = _MISSING,
        session_id: str | Literal[_Missing.MISSING] = _MISSING,
    ) -> int:
        """Delete memories of the user; how many there were.

        Args:
            user_id: Whose. Alone: all of them.
            ids: These only.
            session_id: Those of this conversation only.

        Raises:
            InvalidArgumentError: ``ids`` or ``session_id`` is None, which must not mean all.
        """
        return self.index.run(self._forget_plan(user_id, ids, session_id))

    async def aforget(
        self,
        *,
        user_id: str,
        ids: Iterable[str] | Literal[_Missing.MISSING] = _MISSING,
        session_id: str | Literal[_Missing.MISSING] = _MISSING,
    ) -> int:
        """Async ``forget``."""
        return await self.index.arun(self._forget_plan(user_id, ids, session_id))

    def _forget_plan(
        self,
        user_id: str,
        ids: Iterable[str] | Literal[_Missing.MISSING],
        session_id: str | Literal[_Missing.MISSING],
    ) -> Plan[int]:
        if ids is None or session_id is None:
            name = "ids" if ids is None else "session_id"
            raise InvalidArgumentError(
                f"{name} is None: leave it out to forget all that is known of a user"
            )
        one_session = None if isinstance(session_id, _Missing) else session_id
        some = None if isinstance(ids, _Missing) else ids
        return forget_plan(self.index.plans, user_id, some, one_session)
