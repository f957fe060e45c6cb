"""How many tokens a model's API says that a call took, in any of the forms that they say it.

OpenAI: ``prompt_tokens``, ``completion_tokens``, ``total_tokens``. Anthropic and LangChain:
``input_tokens``, ``output_tokens``, LangChain with ``total_tokens``. Bedrock's Converse:
``inputTokens``, ``outputTokens``, ``totalTokens``. Gemini: ``prompt_token_count``,
``candidates_token_count``, ``total_token_count``. Ollama: ``prompt_eval_count``, ``eval_count``.
"""

from __future__ import annotations

from typing import Any

_TOTALS = ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount")
_PARTS = (
    ("input_tokens", "output_tokens"),
    ("prompt_tokens", "completion_tokens"),
    ("inputTokens", "outputTokens"),
    ("prompt_token_count", "candidates_token_count"),
    ("prompt_eval_count", "eval_count"),
)
_PLACES = ("usage", "usage_metadata", "token_usage")


def tokens_of_usage(usage: object) -> int | None:
    """The total of a report of usage, a dict or an object; None where it is none."""
    if not usage:
        return None  # as of most messages, which are looked at in each turn
    for name in _TOTALS:
        if (total := _count(usage, name)) is not None:
            return total
    for pair in _PARTS:
        counts = [count for name in pair if (count := _count(usage, name)) is not None]
        if counts:
            return sum(counts)
    return None


def tokens_of_answer(answer: object) -> int | None:
    """The total of the report of usage in an API's answer, or of what was kept of it."""
    for place in _PLACES:
        found = tokens_of_usage(_get(answer, place))
        if found is not None:
            return found
    return tokens_of_usage(answer)


def _count(usage: object, name: str) -> int | None:
    value = _get(usage, name)
    return value if type(value) is int and value >= 0 else None


def _get(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, dict) else getattr(holder, name, None)
