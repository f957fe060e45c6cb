"""What conversations with memory are made of, whosever they are and whatever their messages are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

from .._arguments import TTL, check_count, shown
from .._conversations.elements import OnCorrupt
from .._conversations.plans import ConversationPlans
from .._conversations.summaries import Summarizer
from .._errors import ConfigurationError, InvalidArgumentError
from .._messages.codecs import PlainCodec
from .._secrets import hide_url
from .._server.connection import ValkeyConnection, choose_connection
from .after_turn import AfterTurns
from .budget import Budget, PlainCounter, budget
from .long_term import LongTermMemory


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """What conversations with memory have in common. ``turn_settings`` checks the arguments.

    Any number of conversations may share one: then they share what runs in the background, too.
    """

    connection: ValkeyConnection
    long_term: LongTermMemory | None
    last: int | None
    facts: int
    k: int
    budget: Budget
    after: AfterTurns
    store: Mapping[str, Any]
    """The options of the conversations' store, their user aside."""


class TurnOptions(TypedDict, total=False):
    """The arguments of ``turn_settings`` that other constructors pass on to it."""

    facts: int
    k: int
    summary: Summarizer | None
    max_tokens: int | None
    shares: Mapping[str, float] | None
    count_tokens: PlainCounter | None
    extract: Any
    background: bool
    url: str | None
    connection: ValkeyConnection | None
    key_prefix: str
    ttl: TTL | None
    max_messages: int | None
    on_corrupt: OnCorrupt
    model: str | None


def turn_settings(
    long_term: LongTermMemory | None,
    *,
    summary: Summarizer | None = None,
    last: int | None = 20,
    max_tokens: int | None = None,
    shares: Mapping[str, float] | None = None,
    count_tokens: PlainCounter | None = None,
    facts: int = 50,
    k: int = 5,
    extract: Any = None,
    background: bool = False,
    url: str | None = None,
    connection: ValkeyConnection | None = None,
    key_prefix: str = "chat:",
    ttl: TTL | None = None,
    max_messages: int | None = None,
    on_corrupt: OnCorrupt = "raise",
    model: str | None = None,
    title: str | None = None,
) -> TurnSettings:
    """``TurnSettings`` of a constructor's arguments, which are those of ``ConversationMemory``.

    Raises:
        ConfigurationError, InvalidArgumentError: One of them cannot be; nothing was sent.
    """
    url = hide_url(url)  # an error shows it to tools that print variables
    if long_term is not None and not isinstance(long_term, LongTermMemory):
        raise InvalidArgumentError(
            f"long_term must be a LongTermMemory or None, not {shown(long_term)}"
        )
    if not isinstance(background, bool):
        raise InvalidArgumentError(f"background must be True or False, not {shown(background)}")
    check_count(last, "last", minimum=0, optional=True)
    check_count(facts, "facts", minimum=0)
    check_count(k, "k", minimum=0)
    store: dict[str, Any] = {
        "key_prefix": key_prefix,
        "ttl": ttl,
        "max_messages": max_messages,
        "refresh_ttl_on_read": False,
        "on_corrupt": on_corrupt,
        "model": model,
        "title": title,
        "summary": summary,
    }
    ConversationPlans(PlainCodec(), **store)  # checks them
    return TurnSettings(
        _connection(url, connection, long_term),
        long_term,
        last,
        facts,
        k,
        budget(max_tokens, shares, count_tokens),
        AfterTurns(long_term, background=background, extract=extract),
        store,
    )


def _connection(
    url: str | None, connection: ValkeyConnection | None, long_term: LongTermMemory | None
) -> ValkeyConnection:
    """The one connection of conversation and memories: their requests share round trips."""
    if long_term is None:
        return choose_connection(url, connection)
    if url is None and connection is None:
        return long_term.connection
    chosen = choose_connection(url, connection)
    if chosen is not long_term.connection:
        raise ConfigurationError(
            "long_term has a connection of its own, and conversation and memories share one: leave "
            "url= and connection= out, or give the same to both"
        )
    return chosen
