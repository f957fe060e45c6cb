"""A conversation with memory, of any framework's messages: gathering a context, saving a turn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, cast

from .._conversations.plans import ConversationPlans
from .._conversations.summaries import text_of
from .._errors import InvalidArgumentError
from .._messages.codecs import Codec
from .._plans import Now, Plan
from .._server.connection import ValkeyConnection
from .._together import together_plan
from .._vectors.questions import Counted, Matching
from .._vectors.questions import Question as IndexQuestion
from .after_turn import AfterTurns
from .both import Both, BothCodec
from .budget import Budget, Found, choose
from .context import Context, LeftOut
from .long_term import LongTermMemory
from .memories import FACT, Memory, memories_of
from .recall import recall_beside_plan, wanted
from .scope import scope
from .turns import said

M = TypeVar("M")
T = TypeVar("T")

_CLOSE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a conversation with memory is made of, whatever its messages are."""

    user_id: str
    session_id: str
    connection: ValkeyConnection
    long_term: LongTermMemory | None
    last: int | None
    facts: int
    k: int
    budget: Budget
    after: AfterTurns
    store: Mapping[str, Any]
    """The options of the conversation's store."""


class TurnMemory(Generic[M]):
    """A conversation with memory, of any framework's messages.

    ``ConversationMemory`` is the one of plain dicts, and describes it.
    """

    def __init__(self, codec: Codec[M], settings: Settings) -> None:
        self.settings = settings
        self.user_id = settings.user_id
        self.session_id = settings.session_id
        self.long_term = settings.long_term
        self.connection = settings.connection
        self._primaries = settings.connection.for_primaries()
        self._codec = BothCodec(codec)
        self._plans: ConversationPlans[Both[M]] = ConversationPlans(self._codec, **settings.store)
        self._key = self._plans.key(self.session_id)

    @property
    def last_error(self) -> Exception | None:
        """Why what was said last in this process is not remembered yet; None once it is."""
        return self.settings.after.last_error

    # Before the model

    def context(self, question: str | M) -> Context[M]:
        """What the model needs to answer ``question``. Nothing is stored.

        Args:
            question: A text, or a whole message.

        Raises:
            Exception: Whatever the embedding model throws.

        Round trips: two, with an embedding of the question between them; one without ``long_term``
        or with ``k=0``. With exact search one, and one more where memories were written since.
        """
        return self._run(self._context_plan(question))

    async def acontext(self, question: str | M) -> Context[M]:
        """Async ``context``."""
        return await self._arun(self._context_plan(question))

    def _context_plan(self, question: str | M) -> Plan[Context[M]]:
        settings, asked = self.settings, self._both(question, "user")
        max_tokens = settings.budget.max_tokens if settings.last is None else None
        stored: list[Both[M]]
        stored, total, (facts, known, recalled) = yield from together_plan(
            self._plans.messages_plan(self.session_id, settings.last, max_tokens, None, True),
            self._plans.count_plan(self.session_id),
            self._memories_plan(said(asked.element).text),
        )
        summary = text_of(stored[0].element) if stored and settings.store["summary"] else None
        messages = stored if summary is None else stored[1:]
        found = Found(
            asked,
            summary or "",
            facts,
            recalled,
            settings.k,
            messages,
            list(self._unread(total - len(messages), known - len(facts))),
        )
        return choose(found, settings.budget, lambda text: self._codec.of_text("system", text))

    def _unread(self, messages: int, facts: int) -> list[LeftOut]:
        """What was left out before anybody counted tokens."""
        last, most = self.settings.last, self.settings.facts
        why = f"max_tokens={self.settings.budget.max_tokens}" if last is None else f"last={last}"
        found = LeftOut("messages", messages, why), LeftOut("facts", facts, f"facts={most}")
        return [one for one in found if one.number > 0]

    def _memories_plan(self, text: str) -> Plan[tuple[list[Memory], int, list[Memory]]]:
        """The newest facts, how many there are, and what the question recalls. Two round trips."""
        memory, settings = self.long_term, self.settings
        if memory is None:
            return [], 0, []
        beside: list[IndexQuestion] = []
        if settings.facts:
            facts = scope(self.user_id, (FACT,)).condition()
            newest = Matching(facts, settings.facts, "created_at", descending=True)
            beside = [newest, Counted(facts)]
        plans = memory.index.plans
        recalled: list[Memory] = []
        answers: list[Any] = []
        if settings.k and text.strip():
            seen = scope(self.user_id, exclude_session=self.session_id)
            # Those that are facts are told as facts, and others take their places.
            most = settings.k + settings.facts
            asked = wanted(text, seen, most, "hybrid", None, 0, None)
            recalled, answers = yield from recall_beside_plan(
                plans, memory._texts.embedder, asked, memory._rules.language, beside
            )
        elif beside:
            answers = yield from plans.ask_plan(beside)
        documents, known = answers or ([], 0)
        return memories_of(documents), known, recalled

    # After the model

    def save_turn(
        self, question: str | M, answer: str | M | Sequence[M], *, once: str | None = None
    ) -> None:
        """Store a question with its answer, both or none, and remember them.

        Call it when the model has answered: a question that it failed at is not stored.

        What cannot be remembered, because the embedding model fails for instance, is stored all the
        same; the error is logged (``valkey_memory``), kept as ``last_error``, and the next turns,
        of whatever process, catch up.

        Args:
            question: A text, or a message.
            answer: A text, or a message; or the messages of a whole turn, calls of tools and their
                results with it.
            once: A name for this turn, of 1 to 256 bytes, such as the id of a request. A turn of
                that name that is stored already is not stored again.

        Raises:
            MessageEncodeError: A message cannot be stored; nothing was.

        Round trips: one stores the turn. With ``long_term`` two that look at what is remembered
        already, one more where something is not, the embedding, and one that writes; with
        ``background=True`` nobody waits for these.
        """
        self._run(self._save_plan(question, answer, once))

    async def asave_turn(
        self, question: str | M, answer: str | M | Sequence[M], *, once: str | None = None
    ) -> None:
        """Async ``save_turn``."""
        await self._arun(self._save_plan(question, answer, once))

    def _save_plan(
        self, question: str | M, answer: str | M | Sequence[M], once: str | None
    ) -> Plan[None]:
        several = isinstance(answer, list | tuple)
        answers = cast("Sequence[str | M]", answer if several else [answer])
        turn = [self._both(question, "user"), *(self._both(one, "assistant") for one in answers)]
        now: int = yield Now()
        for one in turn:  # one time for all, which tells the turn from another of the same words
            one.element.setdefault("ts", now)
        yield from self._plans.append_plan(self.session_id, turn, False, once)
        yield from self.settings.after.after_turn_plan(self._key, self.session_id, self.user_id)

    def catch_up(self) -> int:
        """Remember every message of the conversation that is not remembered, archived ones, too.

        Turns are remembered as they come, and the newest 20 messages are looked at each time; this
        is for conversations from before, and after longer failures of the embedding model.

        Returns:
            How many of its messages are remembered now.

        Raises:
            InvalidArgumentError: There is no ``long_term``.
            Exception: Whatever the embedding model throws.

        Round trips: one reads the conversation; then as ``LongTermMemory.remember_turn``.
        """
        return self._run(self._catch_up_plan())

    async def acatch_up(self) -> int:
        """Async ``catch_up``."""
        return await self._arun(self._catch_up_plan())

    def _catch_up_plan(self) -> Plan[int]:
        if self.long_term is None:
            raise InvalidArgumentError("there is nothing to catch up with: pass long_term=")
        stored = yield from self._plans.archived_plan(self.session_id, True)
        elements = [one.element for one in stored]
        after = self.settings.after
        return (yield from after.remember_plan(elements, self.session_id, self.user_id))

    # The conversation as a whole

    def messages(self) -> list[M]:
        """All messages of the conversation that are not archived, the oldest first. One round trip.

        Without the summary, which ``context`` has.
        """
        return self._run(self._messages_plan())

    async def amessages(self) -> list[M]:
        """Async ``messages``."""
        return await self._arun(self._messages_plan())

    def _messages_plan(self) -> Plan[list[M]]:
        stored = yield from self._plans.messages_plan(self.session_id)
        if stored and self.settings.store["summary"] and text_of(stored[0].element) is not None:
            del stored[0]
        return [one.message for one in stored]

    def clear(self, *, memories: bool = False) -> None:
        """Delete the conversation, with its summary and its archived messages.

        Args:
            memories: Also forget what was remembered of it. Facts that were told in it, too.

        Round trips: one; with ``memories`` those of ``LongTermMemory.forget``, before.
        """
        self.settings.after.jobs.join()  # what is still being remembered would come after
        self._run(self._clear_plan(memories))

    async def aclear(self, *, memories: bool = False) -> None:
        """Async ``clear``."""
        await self.settings.after.jobs.ajoin(_CLOSE_SECONDS)
        await self._arun(self._clear_plan(memories))

    def _clear_plan(self, memories: bool) -> Plan[None]:
        if memories and self.long_term is not None:
            own = scope(self.user_id, None, self.session_id, ended=True).condition()
            yield from self.long_term.index.plans.delete_where_plan(own)
        yield from self._plans.delete_plan(self.session_id)

    # Running

    def _both(self, value: str | M, role: str) -> Both[M]:
        if isinstance(value, str):
            return self._codec.of_text(role, value)
        return self._codec.of_message(value)

    def _run(self, plan: Plan[T]) -> T:
        return self._primaries.run(plan)

    async def _arun(self, plan: Plan[T]) -> T:
        return await self._primaries.arun(plan)

    def close(self) -> None:
        """Wait for what is remembered in threads of this process. The object can be used on."""
        self.settings.after.jobs.join()

    async def aclose(self) -> None:
        """Wait for what is remembered in tasks of the running event loop, and in threads."""
        await self.settings.after.jobs.ajoin(_CLOSE_SECONDS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(user_id={self.user_id!r}, session_id={self.session_id!r})"
