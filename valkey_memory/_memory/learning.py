"""What a ``LongTermMemory`` learns from whole conversations, with a model: facts, episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import _keys
from .._arguments import TTL, check_count, check_text, ttl_to_milliseconds
from .._errors import InvalidArgumentError
from .._models.chat import check_chat_model
from .._plans import Plan
from .._vectors.text_index import TextIndex
from .consolidation import Consolidation, Due, Progress, consolidate_plan
from .episodes import Teller, store_episode_plan
from .extraction import Extraction, Extractor, extract_plan
from .remembering import Rules


class Learning:
    """The part of ``LongTermMemory`` that asks a chat model."""

    _texts: TextIndex
    _rules: Rules
    _key_prefix: str

    def extract_facts(
        self,
        session_id: str,
        *,
        user_id: str,
        model: Any,
        messages: Sequence[Any] | None = None,
    ) -> Extraction:
        """Have a model find facts about the user in what is new in a conversation; store them.

        Each message is considered once, whatever becomes of it: archived, trimmed, or edited, which
        makes it new. Only what the user says can give facts, and greetings, thanks and repetitions
        cost no call of the model. The model is shown what is known already. A fact that changed is
        stored as a new one that names the old as ``replaces``; the old stays with ``valid_until``.
        ``sources`` of a fact are the ids of the messages that say so.

        Safe to call again at any time, by several workers: one of them considers a conversation,
        for two minutes at most before others may, and what it did is not done twice.

        Args:
            session_id: The conversation, as a store with the same ``key_prefix`` keeps it.
            user_id: Whose facts: no others are shown to the model, or changed.
            model: A chat model of LangChain, an LLM of LlamaIndex, or a function from a prompt to a
                text, sync or async. Where LangChain's has structured output, that is used; else its
                text is read tolerantly.
            messages: Consider these, of a conversation that is kept elsewhere. Those that were
                considered in the last 30 days are left out.

        Returns:
            What was stored, and what not, and why.

        Raises:
            InvalidArgumentError: An argument cannot be.
            NotOwnerError: The conversation's record names another user.
            Exception: Whatever the models throw. The messages are considered at the next call.

        Round trips: for each 40 messages or 24,000 characters: one that claims them, one that reads
        facts, two that store, one that notes it. One call of the chat model, two of the embedding
        model. One where nothing is new.
        """
        return self._texts.index.run(self.extract_facts_plan(session_id, user_id, model, messages))

    async def aextract_facts(
        self,
        session_id: str,
        *,
        user_id: str,
        model: Any,
        messages: Sequence[Any] | None = None,
    ) -> Extraction:
        """Async ``extract_facts``."""
        plan = self.extract_facts_plan(session_id, user_id, model, messages)
        return await self._texts.index.arun(plan)

    def extract_facts_plan(
        self, session_id: str, user_id: str, model: Any, messages: Sequence[Any] | None
    ) -> Plan[Extraction]:
        key = _keys.list_key(self._key_prefix, session_id)
        extractor = Extractor(self._texts, self._rules, key, session_id, user_id, model)
        return (yield from extract_plan(extractor, messages))

    def store_episode(
        self, session_id: str, *, user_id: str, model: Any, ttl: TTL | None = None
    ) -> str | None:
        """Store a whole conversation as an episode: title, summary, and a copy of its messages.

        ``recall(kinds=["episode"])`` finds it by what it was about, with its ``messages``, also
        when the conversation itself is gone. Stored again after more was said, it takes its own
        place; unchanged, it costs no call of the model.

        Args:
            session_id: The conversation, with its archived messages.
            user_id: Whose it is.
            model: As in ``extract_facts``.
            ttl: Seconds, or a timedelta, for which the episode is kept; by default as the memory
                says.

        Returns:
            Its id; None where there is no such conversation.

        Raises:
            ModelAnswerError: The model gave no summary. Nothing was stored.
            NotOwnerError: The conversation's record names another user.

        Round trips: two that read, three that store.
        """
        return self._texts.index.run(self._episode_plan(session_id, user_id, model, ttl))

    async def astore_episode(
        self, session_id: str, *, user_id: str, model: Any, ttl: TTL | None = None
    ) -> str | None:
        """Async ``store_episode``."""
        return await self._texts.index.arun(self._episode_plan(session_id, user_id, model, ttl))

    def _episode_plan(
        self, session_id: str, user_id: str, model: Any, ttl: TTL | None
    ) -> Plan[str | None]:
        teller = Teller(self._texts, self._rules, self._key_prefix, user_id, model, ttl)
        return (yield from store_episode_plan(teller, session_id))

    def consolidate(
        self,
        *,
        model: Any,
        idle: TTL = 1800,
        user_id: str | None = None,
        limit: int | None = None,
        episode_ttl: TTL | None = None,
        progress: Progress | None = None,
    ) -> Consolidation:
        """Learn facts from conversations that are over, and store them as episodes.

        For a worker or a cron job. Of several, each works on another conversation. One that was
        done is done again after more was said. It can be stopped at any time, and goes on where it
        was; what fails is told, and tried again by the next call.

        Only conversations whose record says whose they are: those of stores with ``user_id=``.

        Args:
            model: As in ``extract_facts``.
            idle: Those without a write for so many seconds, or a timedelta; 30 minutes by default.
            user_id: Of this user only, by the user's list. By default of all, by a walk over the
                keys of the server.
            limit: At most so many conversations.
            episode_ttl: How long episodes are kept; by default as the memory says.
            progress: Called with each session id, before it is worked on.

        Returns:
            What was done, and what failed, and why. What a model throws is told there.

        Raises:
            InvalidArgumentError: An argument cannot be.

        Round trips: for each conversation one or two that look whether it is due; for one that is,
        three more, and those of ``extract_facts`` and ``store_episode``.
        """
        return self._texts.index.run(
            self._consolidate_plan(model, idle, user_id, limit, episode_ttl, progress)
        )

    async def aconsolidate(
        self,
        *,
        model: Any,
        idle: TTL = 1800,
        user_id: str | None = None,
        limit: int | None = None,
        episode_ttl: TTL | None = None,
        progress: Progress | None = None,
    ) -> Consolidation:
        """Async ``consolidate``."""
        return await self._texts.index.arun(
            self._consolidate_plan(model, idle, user_id, limit, episode_ttl, progress)
        )

    def _consolidate_plan(
        self,
        model: Any,
        idle: TTL,
        user_id: str | None,
        limit: int | None,
        episode_ttl: TTL | None,
        progress: Progress | None,
    ) -> Plan[Consolidation]:
        check_chat_model(model)
        check_count(limit, "limit", optional=True)
        ttl_to_milliseconds(episode_ttl, "episode_ttl")
        if user_id is not None:
            check_text(user_id, "user_id")
        idle_ms = ttl_to_milliseconds(idle, "idle")
        if idle_ms is None:
            raise InvalidArgumentError("idle must be seconds or a timedelta, not None")
        due = Due(idle_ms, user_id, limit)
        teller = Teller(self._texts, self._rules, self._key_prefix, "", model, episode_ttl)
        return (yield from consolidate_plan(teller, due, progress))
