"""``Summary``: old messages of a conversation become a text, and the newest stay as they are."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

from .._arguments import TTL, check_count, shown, ttl_to_milliseconds
from .._conversations import summaries
from .._conversations.summaries import Claimed
from .._conversations.windows import is_finished, trim_start, turn_starts
from .._errors import InvalidArgumentError
from .._messages.elements import Element, readable
from .._models.chat import Ask, check_chat_model
from .._plans import Aside, Plan, Work, WriteToken, change_plan
from .jobs import BackgroundJobs, NewOwner
from .prompts import Prompt, check_prompt, message_line, read_answer, render

_log = logging.getLogger("valkey_memory")

_FIRST_PAUSE_MS, _LONGEST_PAUSE_MS = 5_000, 3_600_000
_PORTION_CHARACTERS = 100_000
"""So much is summarised at once, and at least one turn; the rest at the next writes."""
_SHOWN_OF_ERROR = 500
_NEW_TOKEN = WriteToken()


class Summary:
    """Summarises conversations that grow long, with a model of yours.

    Given to a store or history as ``summary=``. Once a write leaves more than ``when_over``
    messages, the oldest are given to the model together with the summary so far, and its answer
    takes their place; about the newest ``keep_last`` stay, from the beginning of a turn on. Reading
    then begins with a system message that holds the summary.

    Messages are safe whatever the model does: the write comes first and waits for no lock; what was
    summarised leaves the list only in the step that sets the summary, and only if it is still there
    unchanged. Processes agree on who asks the model. What fails is logged (``valkey_memory``), kept
    as ``last_error``, and tried again at a later write, after 5 seconds, then 10, up to an hour.

    One object serves any number of stores, threads and event loops.

    Examples:
        >>> from valkey_memory import MessageStore, Summary
        >>> def scripted_model(prompt):  # yours: a chat model of LangChain or LlamaIndex
        ...     return "The user counts."
        >>> summary = Summary(scripted_model, keep_last=2, when_over=4)
        >>> store = MessageStore(url="embedded://", summary=summary)
        >>> for number in range(3):
        ...     store.append("s1", {"role": "user", "content": f"{number}"})
        ...     store.append("s1", {"role": "assistant", "content": "Go on"})
        >>> for message in store.messages("s1"):
        ...     print(message)
        {'role': 'system', 'content': 'Summary of the conversation so far:\\nThe user counts.'}
        {'role': 'user', 'content': '2'}
        {'role': 'assistant', 'content': 'Go on'}

    Args:
        model: A chat model of LangChain, an LLM of LlamaIndex, or a function from a prompt to a
            text, sync or async.
        keep_last: About how many of the newest messages stay: those from the first turn on that
            begins among them. A newest turn of more messages, or without its answer, stays whole.
        when_over: More messages than that are summarised. Each time costs a call of the model, so
            it is best well above ``keep_last``.
        max_tokens: How long a summary may be. The model is told, and a longer one is cut, by 4
            characters per token. Default: what the model finds right, up to 100,000 characters.
        prompt: A text with ``{summary}`` and ``{messages}`` in it, or a function of the summary so
            far and a list of messages (dicts) that returns the prompt.
        archive: Move what was summarised to the archived messages (``store.archived``); False
            deletes it.
        background: Do not let the write wait for the model: a thread, or in async code a task, does
            the rest. ``close`` or ``aclose`` waits for those.
        lease: Seconds, or a timedelta, for which others leave a summary to the one who makes it.
            Give it longer than the model ever takes: after it, another process may ask the model,
            too. A process that died leaves the summary undone for so long.

    Raises:
        InvalidArgumentError: An argument cannot work.
    """

    def __init__(
        self,
        model: Any,
        *,
        keep_last: int = 6,
        when_over: int = 12,
        max_tokens: int | None = None,
        prompt: Prompt | None = None,
        archive: bool = True,
        background: bool = False,
        lease: TTL = 120,
    ) -> None:
        check_chat_model(model)
        check_count(keep_last, "keep_last", minimum=0)
        check_count(when_over, "when_over", minimum=0)
        check_count(max_tokens, "max_tokens", optional=True)
        check_prompt(prompt)
        if when_over < keep_last:
            raise InvalidArgumentError(
                f"when_over={when_over} must be at least keep_last={keep_last}: what is kept would "
                "be summarised again and again"
            )
        for name, value in (("archive", archive), ("background", background)):
            if not isinstance(value, bool):
                raise InvalidArgumentError(f"{name} must be True or False, not {shown(value)}")
        self.model = model
        self.keep_last = keep_last
        self.when_over = when_over
        self.max_tokens = max_tokens
        self.archive = archive
        self.background = background
        self.last_error: Exception | None = None
        """The last that went wrong in this process, until a summary succeeds."""
        self._prompt = prompt
        self._lease_ms = ttl_to_milliseconds(lease, "lease") or 0
        self._jobs = BackgroundJobs()

    # What stores call

    def after_write_plan(self, key: str, *, strict: bool) -> Plan[None]:
        """Summarise the conversation of the list ``key`` if it is time. It raises nothing."""
        if self.background:
            yield Aside(self._jobs, lambda: self._tolerant_plan(key, strict=strict))
        else:
            yield from self._tolerant_plan(key, strict=strict)

    def now_plan(self, key: str, *, strict: bool) -> Plan[bool]:
        """Summarise what can be, and say whether anything was. What fails is raised."""
        done = False
        while (yield from self._once_plan(key, force=True, strict=strict)):
            done = True
        return done

    def _tolerant_plan(self, key: str, *, strict: bool) -> Plan[None]:
        try:
            yield from self._once_plan(key, force=False, strict=strict)
        except Exception as error:  # noqa: BLE001
            # The message is stored; whoever stored it is not to hear that it was not.
            self.last_error = error
            _log.warning("%r is not summarised: %s: %s", key, type(error).__name__, error)

    def _once_plan(self, key: str, *, force: bool, strict: bool) -> Plan[bool]:
        """One summary: claim, ask, commit. Whether there is a new one."""
        owner = yield NewOwner()
        over = self.keep_last if force else self.when_over
        claimed = yield from change_plan(
            summaries.claim(key, owner, self._lease_ms, over, force=force)
        )
        if claimed is None:
            return False
        cut = self._cut(claimed)
        if not cut:
            yield from change_plan(summaries.give_back(key, owner))
            return False
        elements = claimed.elements[:cut]
        answer = yield _Attempt(self, claimed.text, readable(elements))
        if isinstance(answer, Exception):
            text = f"{type(answer).__name__}: {answer}"[:_SHOWN_OF_ERROR]
            yield from change_plan(
                summaries.fail(key, owner, text, _FIRST_PAUSE_MS, _LONGEST_PAUSE_MS)
            )
            raise answer
        change = summaries.commit(
            key,
            claimed.version,
            answer,
            elements,
            strict=strict,
            archive=self.archive,
            token=(yield _NEW_TOKEN),
        )
        is_set = yield from change_plan(change)
        if is_set:
            self.last_error = None
        else:  # somebody edited what was summarised
            yield from change_plan(summaries.give_back(key, owner))
        return is_set

    def _cut(self, claimed: Claimed) -> int:
        """How many of the oldest messages to summarise, so that a turn begins after them."""
        elements = readable(claimed.elements)
        ends = turn_starts(elements)
        if len(elements) == claimed.length:
            last = trim_start(elements, max(self.keep_last, 1))
            if not self.keep_last and is_finished(elements):
                last = len(elements)
            ends = [*(end for end in ends if end < last), last]
        else:  # the newest were not read
            ends = [end for end in ends if end <= claimed.length - self.keep_last]
        return self._portion(elements, [end for end in ends if end])

    def _portion(self, elements: Sequence[Element], ends: Sequence[int]) -> int:
        """The last of ``ends`` up to which the messages are not too much for one prompt."""
        room, begin, chosen = _PORTION_CHARACTERS, 0, 0
        for end in ends:
            room -= sum(len(message_line(element)) for element in elements[begin:end])
            if room < 0 and chosen:
                break
            begin = chosen = end
        return chosen

    # Jobs in the background

    def close(self) -> None:
        """Wait for what is summarised in threads of this process. The object can be used on."""
        self._jobs.join()

    async def aclose(self) -> None:
        """Wait for what is summarised in tasks of the running event loop, and in threads."""
        await self._jobs.ajoin(self._lease_ms / 1000)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return (
            f"Summary({type(self.model).__name__}, keep_last={self.keep_last}, "
            f"when_over={self.when_over})"
        )


@dataclass(frozen=True, slots=True)
class _Attempt(Work):
    """Ask the model for a summary. The reply is the text, or the exception that was thrown."""

    summary: Summary
    text: str
    elements: Sequence[Element]

    def serve(self) -> str | Exception:
        try:
            return self._read(self._ask().serve())
        except Exception as error:  # noqa: BLE001 - models throw anything
            return error

    async def aserve(self) -> str | Exception:
        try:
            return self._read(await self._ask().aserve())
        except Exception as error:  # noqa: BLE001
            return error

    def _ask(self) -> Ask:
        own = self.summary
        prompt = render(own._prompt, self.text, self.elements, own.max_tokens)
        return Ask(own.model, prompt)

    def _read(self, answer: str) -> str:
        return read_answer(answer, self.summary.max_tokens)
