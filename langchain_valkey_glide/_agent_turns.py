"""The turn of an agent's run, found in the messages of its state. All is pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence, Set

from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage


def question_of(messages: Sequence[BaseMessage]) -> HumanMessage | None:
    """What the user asked last; None where nothing is there of it."""
    for message in reversed(messages):
        if isinstance(message, HumanMessage) and not _is_summary(message):
            return message
    return None


def turn_of(
    messages: Sequence[BaseMessage], question: HumanMessage, before: Set[str] = frozenset()
) -> list[BaseMessage]:
    """The question and all that came after it.

    Where the question is there no more, because it was summarised away during its own turn, that is
    what was not there ``before``, when it was asked.
    """
    for place in range(len(messages) - 1, -1, -1):
        if messages[place] is question or (question.id and messages[place].id == question.id):
            return [*messages[place:]]
    after = [one for one in messages if one.id not in before and not _is_summary(one)]
    return [question, *after]


def without_tools(turn: Sequence[BaseMessage], *, structured: bool = False) -> list[BaseMessage]:
    """What the user and the agent said to each other in a turn.

    Args:
        turn: All of it.
        structured: Whether its answer is the arguments of its last call of a tool.
    """
    said: list[BaseMessage] = [
        one
        for one in turn
        if isinstance(one, HumanMessage) or (isinstance(one, AIMessage) and not one.tool_calls)
    ]
    if isinstance(turn[-1], ToolMessage):
        said += _answer_of_tools(turn, structured)
    return said


def is_answered(turn: Sequence[BaseMessage]) -> bool:
    """Whether the turn has come to its end: with an answer, or with what a tool returned as one."""
    last = turn[-1]
    return isinstance(last, ToolMessage) or (isinstance(last, AIMessage) and not last.tool_calls)


def is_summarised(messages: Sequence[BaseMessage]) -> bool:
    """Whether some of what was said is there as a summary alone."""
    return any(map(_is_summary, messages))


def name_of(question: HumanMessage) -> str | None:
    """A name for the question's turn: the same when the run is repeated, another one when the
    question was edited. None where the question has no id."""
    if not question.id:
        return None
    identity = f"{len(question.id)} {question.id} {question.content}"
    return hashlib.sha256(identity.encode(errors="surrogatepass")).hexdigest()


def with_notes(system: SystemMessage | None, notes: str) -> SystemMessage:
    """A system message with notes at its end, where they leave a cached beginning as it is."""
    if system is None or not system.content:
        return SystemMessage(notes)
    if isinstance(system.content, str):
        return system.model_copy(update={"content": f"{system.content}\n\n{notes}"})
    return system.model_copy(update={"content": [*system.content, {"type": "text", "text": notes}]})


def _is_summary(message: BaseMessage) -> bool:
    """Whether LangChain's SummarizationMiddleware said it, in the user's name."""
    return message.additional_kwargs.get("lc_source") == "summarization"


def _answer_of_tools(turn: Sequence[BaseMessage], structured: bool) -> list[BaseMessage]:
    """The answer of an agent that ends with a tool: its result, or a structured response."""
    calling = next((one for one in reversed(turn) if isinstance(one, AIMessage)), None)
    results = [one for one in turn if isinstance(one, ToolMessage)]
    if calling is None:
        return []
    calls = {call["id"]: call for call in calling.tool_calls}
    own = [one for one in results if one.tool_call_id in calls]
    if structured and own:
        text = json.dumps(calls[own[-1].tool_call_id]["args"], ensure_ascii=False, default=str)
    else:
        text = "\n".join(one.text for one in own)
    return [AIMessage(text, id=calling.id, name=calling.name)]
