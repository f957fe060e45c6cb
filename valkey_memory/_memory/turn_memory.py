"""A conversation with memory, of any framework's messages: gathering a context, saving a turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any, Generic, Self, TypeVar, cast

from .._arguments import MAXIMUM, check_count, check_text
from .._conversations.plans import ConversationPlans
from .._conversations.summaries import element as summary_element
from .._conversations.summaries import text_of
from .._errors import InvalidArgumentError
from .._messages.codecs import Codec
from .._messages.elements import Element, dump_element
from .._plans import Now, Plan
from .._together import together_plan
from .._vectors.questions import Counted, Matching
from .._vectors.questions import Question as IndexQuestion
from .both import Both, BothCodec
from .budget import Found, choose
from .context import Context, LeftOut, is_notes
from .episodes import forget_plan
from .extraction import Extraction
from .memories import FACT, ORDER, Memory, memories_of
from .recall import recall_beside_plan, wanted
from .scope import Scope, scope
from .turn_settings import TurnSettings
from .turns import said

M = TypeVar("M")
T = TypeVar("T")


class TurnMemory(Generic[M]):
    """A conversation with memory, of any framework's messages.

    ``ConversationMemory`` is the one of plain dicts, and describes it.
    """

    def __init__(
        self, codec: Codec[M], settings: TurnSettings, user_id: str, session_id: str
    ) -> None:
        self.settings = settings
        self.user_id = check_text(user_id, "user_id")
        self.session_id = session_id
        self.long_term = settings.long_term
        self.connection = settings.connection
        self._primaries = settings.connection.for_primaries()
        self._codec = BothCodec(codec)
        self._plans: ConversationPlans[Both[M]] = ConversationPlans(
            self._codec, user_id=user_id, **settings.store
        )
        self._key = self._plans.key(self.session_id)

    @property
    def last_error(self) -> Exception | None:
        """Why what was said last in this process is not remembered yet; None once it is."""
        return self.settings.after.last_error

    # Before the model

    def context(self, question: str | M, *, reserve: int = 0) -> Context[M]:
        """What the model needs to answer ``question``. Nothing is stored.

        Args:
            question: A text, or a whole message.
            reserve: So many of ``max_tokens`` are left free, for instructions of yours.

        Raises:
            Exception: Whatever the embedding model throws.

        Round trips: two, with an embedding of the question between them; one without ``long_term``
        or with ``k=0``. With exact search one, and one more where memories were written since.
        """
        return self._run(self._context_plan(question, reserve))

    async def acontext(self, question: str | M, *, reserve: int = 0) -> Context[M]:
        """Async ``context``."""
        return await self._arun(self._context_plan(question, reserve))

    def _context_plan(self, question: str | M, reserve: int) -> Plan[Context[M]]:
        settings, asked = self.settings, self._both(question, "user")
        allowed = settings.budget.less(reserve)
        max_tokens = allowed.max_tokens if settings.last is None else None
        stored: list[Both[M]]
        stored, total, (facts, known, recalled) = yield from together_plan(
            self._plans.messages_plan(self.session_id, settings.last, max_tokens, None, True),
            self._plans.count_plan(self.session_id),
            self._memories_plan(
                said(asked.element).text, scope(self.user_id, exclude_session=self.session_id)
            ),
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
        return choose(found, allowed, lambda text: self._codec.of_text("system", text))

    def _unread(self, messages: int, facts: int) -> list[LeftOut]:
        """What was left out before anybody counted tokens."""
        last, most = self.settings.last, self.settings.facts
        why = f"max_tokens={self.settings.budget.max_tokens}" if last is None else f"last={last}"
        found = LeftOut("messages", messages, why), LeftOut("facts", facts, f"facts={most}")
        return [one for one in found if one.number > 0]

    def _memories_plan(
        self, text: str, recallable: Scope, more: int = 0
    ) -> Plan[tuple[list[Memory], int, list[Memory]]]:
        """The newest facts, how many there are, and what the question recalls. Two round trips.

        ``more`` are recalled beyond ``k``, for those that are told elsewhere.
        """
        memory, settings = self.long_term, self.settings
        if memory is None:
            return [], 0, []
        beside: list[IndexQuestion] = []
        if settings.facts:
            facts = scope(self.user_id, (FACT,)).condition()
            newest = Matching(facts, settings.facts, ORDER, descending=True)
            beside = [newest, Counted(facts)]
        plans = memory.index.plans
        recalled: list[Memory] = []
        answers: list[Any] = []
        if settings.k and text.strip():
            # Those that are facts are told as facts, and others take their places.
            most = min(settings.k + settings.facts + more, MAXIMUM)
            asked = wanted(text, recallable, most, "hybrid", None, 0, None)
            recalled, answers = yield from recall_beside_plan(
                plans, memory._texts.embedder, asked, memory._rules.language, beside
            )
        elif beside:
            answers = yield from plans.ask_plan(beside)
        documents, known = answers or ([], 0)
        return memories_of(documents), known, recalled

    def count_tokens(self, messages: Sequence[M]) -> int:
        """The tokens of ``messages``, for ``reserve``; 0 where there is no ``max_tokens``."""
        budget = self.settings.budget
        if budget.max_tokens is None or not messages:
            return 0
        return budget.count([self._both(one, "user").element for one in messages])

    # After the model

    def save_turn(
        self, question: str | M, answer: str | M | Sequence[M], *, once: str | None = None
    ) -> None:
        """Store a question with its answer, both or none, and remember them.

        Call it when the model has answered: a question that it failed at is not stored.

        What cannot be remembered, because the embedding model fails for instance, is stored all the
        same; the error is logged (``valkey_memory``), kept as ``last_error``, and the next turns,
        of whatever process, catch up. So they do with what a process left undone that ended.

        Args:
            question: A text, or a message.
            answer: A text, or a message; or the messages of a whole turn, calls of tools and their
                results with it.
            once: A name for this turn, of 1 to 256 bytes, such as the id of a request. A turn of
                that name that is stored already is not stored again.

        Raises:
            InvalidArgumentError: There is no answer.
            MessageEncodeError: A message cannot be stored; nothing was.

        Round trips: one stores the turn. With ``long_term`` two that look at what is remembered
        already, one more where something is not, the embedding, and one that writes; with
        ``background=True`` nobody waits for these, nor for what finds facts.
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
        if not answers:
            raise InvalidArgumentError(
                "answer has no message: a question is stored with its answer; extend stores others"
            )
        turn = [self._both(question, "user"), *(self._both(one, "assistant") for one in answers)]
        return self._extend_plan(turn, once)

    def extend(self, messages: Sequence[M]) -> None:
        """Store messages that are no turn, and remember them: a greeting, or parts of a turn.

        Notes of a context among them are left out.

        Round trips: as ``save_turn``.
        """
        self._run(self._extend_plan([self._both(one, "user") for one in messages], None))

    async def aextend(self, messages: Sequence[M]) -> None:
        """Async ``extend``."""
        await self._arun(self._extend_plan([self._both(one, "user") for one in messages], None))

    def _extend_plan(self, messages: list[Both[M]], once: str | None) -> Plan[None]:
        messages = [one for one in messages if not is_notes(one.element)]
        now: int = yield Now()
        for one in messages:  # one time for all, which tells them from others of the same words
            one.element.setdefault("ts", now)
        yield from self._plans.append_plan(self.session_id, messages, False, once)
        yield from self.settings.after.after_turn_plan(self._key, self.session_id, self.user_id)

    def replace(self, messages: Sequence[M]) -> None:
        """Put ``messages`` in place of those that are not archived. Notes among them are left out.

        What is there already keeps its time, and is not remembered twice.

        Round trips: one that reads, one that writes; then as ``save_turn``.
        """
        self._run(self._replace_plan(messages))

    async def areplace(self, messages: Sequence[M]) -> None:
        """Async ``replace``."""
        await self._arun(self._replace_plan(messages))

    def _replace_plan(self, messages: Sequence[M]) -> Plan[None]:
        all_given = [self._both(one, "user") for one in messages]
        given = [one for one in all_given if not is_notes(one.element)]
        now: int = yield Now()
        times: dict[bytes, deque[object]] = {}
        for one in (yield from self._plans.messages_plan(self.session_id)):
            times.setdefault(_content(one.element), deque()).append(one.element.get("ts", now))
        for one in given:
            known = times.get(_content(one.element))
            one.element.setdefault("ts", known.popleft() if known else now)
        if len(given) < len(all_given) and self.settings.store["summary"]:
            # What was read is given back, edited: so the summary holds on. It is no message.
            given.insert(0, self._codec.decode(summary_element("")))
        yield from self._plans.replace_plan(self.session_id, given, False, False)
        yield from self.settings.after.after_turn_plan(self._key, self.session_id, self.user_id)

    def catch_up(self, newest: int | None = None) -> int:
        """Remember every message of the conversation that is not remembered, archived ones, too.

        Turns are remembered as they come, and the newest 20 messages are looked at each time; this
        is for conversations from before, and after longer failures of the embedding model.

        Args:
            newest: Only so many of the newest. Default: all.

        Returns:
            How many of its messages are remembered now.

        Raises:
            InvalidArgumentError: There is no ``long_term``.
            Exception: Whatever the embedding model throws.

        Round trips: one reads the conversation; then as ``LongTermMemory.remember_turn``.
        """
        return self._run(self._catch_up_plan(newest))

    async def acatch_up(self, newest: int | None = None) -> int:
        """Async ``catch_up``."""
        return await self._arun(self._catch_up_plan(newest))

    def _catch_up_plan(self, newest: int | None) -> Plan[int]:
        check_count(newest, "newest", optional=True)
        if self.long_term is None:
            raise InvalidArgumentError("there is nothing to catch up with: pass long_term=")
        number = MAXIMUM if newest is None else newest
        return self.settings.after.newest_plan(self._key, self.session_id, self.user_id, number)

    def extract_facts(self) -> Extraction:
        """Find facts in what is new in the conversation, without waiting for the next turn.

        Raises:
            InvalidArgumentError: There is no ``extract``.
            Exception: Whatever the models throw.

        Round trips: as ``LongTermMemory.extract_facts``.
        """
        return self._run(self._extract_facts_plan())

    async def aextract_facts(self) -> Extraction:
        """Async ``extract_facts``."""
        return await self._arun(self._extract_facts_plan())

    def _extract_facts_plan(self) -> Plan[Extraction]:
        return self.settings.after.extract_plan(self._key, self.session_id, self.user_id)

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
        self.settings.after.close()  # what is still being remembered would come after
        self._run(self._clear_plan(memories))

    async def aclear(self, *, memories: bool = False) -> None:
        """Async ``clear``."""
        await self.settings.after.aclose()
        await self._arun(self._clear_plan(memories))

    def _clear_plan(self, memories: bool) -> Plan[None]:
        if memories and self.long_term is not None:
            yield from forget_plan(self.long_term.index.plans, self.user_id, None, self.session_id)
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
        self.settings.after.close()

    async def aclose(self) -> None:
        """Wait for what is remembered in tasks of the running event loop, and in threads."""
        await self.settings.after.aclose()

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


def _content(element: Element) -> bytes:
    """What a message says, whenever it was stored."""
    return dump_element({key: value for key, value in element.items() if key != "ts"}, None)
