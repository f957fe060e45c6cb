"""What the APIs of models demand of the order of messages, as one function.

Sources:

- **Anthropic**, Messages API. "Consecutive user or assistant turns in your request will be combined
  into a single turn"; the system prompt is no message (reference of ``messages``). "Tool result
  blocks must immediately follow their corresponding tool use blocks in the message history", with
  nothing in between, and "must come first in the content array"
  (https://platform.claude.com/docs/en/agents-and-tools/tool-use/handle-tool-calls). Errors:
  "`tool_use` ids were found without `tool_result` blocks immediately after" and "unexpected
  `tool_use_id` found in `tool_result` blocks". The first message is the user's.
- **OpenAI**, Chat Completions. Errors: "messages with role 'tool' must be a response to a
  preceeding message with 'tool_calls'" and "An assistant message with 'tool_calls' must be followed
  by tool messages responding to each 'tool_call_id'" (https://github.com/simonw/llm/issues/937,
  https://github.com/agno-agi/agno/issues/3105). System messages may stand anywhere else.
- **Bedrock**, Converse. ValidationException: "A conversation must start with a user message"
  (https://github.com/langgenius/dify/issues/12340), "A conversation must alternate between user and
  assistant roles" (https://github.com/langchain-ai/langchain-aws/issues/192; clients combine
  consecutive ones), "The number of toolResult blocks ... exceeds the number of toolUse blocks of
  previous turn" (https://github.com/strands-agents/harness-sdk/issues/1435), and of some models
  "Conversation blocks and tool result blocks cannot be provided in the same turn"
  (https://github.com/langchain-ai/langchain-aws/issues/141).

Messages are seen in all three dialects at once. A window is sent with the user's next question
behind it, so it may end with an answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Turn:
    """Consecutive messages of one side, as Anthropic and Bedrock take them."""

    side: str
    calls: list[str] = field(default_factory=list)
    results: list[str] = field(default_factory=list)
    order: str = ""
    """``r`` for a tool's result, ``t`` for anything else that is said."""


def refusal(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """Why an API would refuse ``messages``, by its name; None when all three take them."""
    spoken = [m for m in messages if m["role"] not in ("system", "developer")]
    turns: list[Turn] = []
    for message in spoken:
        side = "assistant" if message["role"] == "assistant" else "user"
        if not turns or turns[-1].side != side:
            turns.append(Turn(side))
        calls, results, says = parts(message)
        turns[-1].calls += calls
        turns[-1].results += results
        turns[-1].order += "r" * len(results) + "t" * says
    return _openai(messages) or _in_turns(turns)


def _openai(messages: Sequence[Mapping[str, Any]]) -> str | None:
    open_calls: list[str] = []
    for message in messages:
        calls, results, says = parts(message)
        for result in results:
            if result not in open_calls:
                return f"OpenAI: the result {result} answers no call directly before it"
            open_calls.remove(result)
        if open_calls and (calls or says):
            return f"OpenAI: {message['role']} before the results of {open_calls}"
        open_calls += calls
    return f"OpenAI: no results of {open_calls}" if open_calls else None


def _in_turns(turns: Sequence[Turn]) -> str | None:
    if not turns or turns[0].side != "user":
        return "Anthropic and Bedrock: the first message is not the user's"
    before: list[str] = []
    for turn in turns:
        if sorted(turn.results) != sorted(before):
            return f"Anthropic and Bedrock: results {turn.results} of the calls {before}"
        if "r" in turn.order and "t" in turn.order:
            return "Bedrock: text beside results" + (
                "; Anthropic: before them" if turn.order[0] == "t" else ""
            )
        before = turn.calls
    return f"Anthropic and Bedrock: no results of {before}" if before else None


def parts(message: Mapping[str, Any]) -> tuple[list[str], list[str], bool]:
    """Ids of tool calls, ids of results, and whether anything else is said, in any dialect."""
    content = message.get("content")
    blocks = content if isinstance(content, list) else []
    if message["role"] == "tool":
        return [], [message["tool_call_id"]], False
    uses = [b["id"] for b in blocks if b.get("type") == "tool_use"]
    uses += [b["toolUse"]["toolUseId"] for b in blocks if "toolUse" in b]
    results = [b["tool_use_id"] for b in blocks if b.get("type") == "tool_result"]
    results += [b["toolResult"]["toolUseId"] for b in blocks if "toolResult" in b]
    calls = [call["id"] for call in message.get("tool_calls") or ()]
    says = len(blocks) > len(uses) + len(results) or bool(content and not blocks)
    return calls or uses, results, says
