"""``ConversationMemory``: newest messages, summary, facts and recall, together in each turn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._arguments import TTL, check_count
from .._conversations.elements import OnCorrupt
from .._conversations.summaries import Summarizer
from .._messages.codecs import PlainCodec
from .._secrets import hide_url
from .._server.connection import ValkeyConnection
from .budget import PlainCounter
from .long_term import LongTermMemory
from .turn_memory import TurnMemory
from .turn_settings import turn_settings


class ConversationMemory(TurnMemory[Mapping[str, Any]]):
    """All memory that a model needs in a conversation, in one turn of two calls.

    ``context(question)`` gathers, within a budget of tokens: the newest messages, the summary of
    those before, facts about the user, and what was said in other conversations that helps to
    answer. ``save_turn(question, answer)`` stores the turn once the model has answered, and
    remembers it.

    Both have an async twin with the prefix ``a``. One object serves any number of threads and event
    loops; any number of objects and processes may serve a conversation.

    Examples:
        >>> from valkey_memory import ConversationMemory, LocalEmbedding, LongTermMemory
        >>> def scripted_model(messages):  # yours: whatever takes a list of messages
        ...     return "The green one, as you said on Monday."
        >>> long_term = LongTermMemory(LocalEmbedding(), url="embedded://", index_name="kayaks")
        >>> monday = ConversationMemory(user_id="mara", session_id="mo", long_term=long_term)
        >>> monday.save_turn("I take the green kayak.", "A good choice.")
        >>> memory = ConversationMemory(
        ...     user_id="mara", session_id="fr", long_term=long_term, max_tokens=2000
        ... )
        >>> question = "Which kayak did I choose?"
        >>> context = memory.context(question)
        >>> context.recalled[0].text
        'I take the green kayak.'
        >>> answer = scripted_model(context.prompt_messages("You rent out boats."))
        >>> memory.save_turn(question, answer)
        >>> [message["content"] for message in memory.messages()]
        ['Which kayak did I choose?', 'The green one, as you said on Monday.']

    Args:
        user_id: Whose conversation it is; ``SessionStore`` lists it. Only this user's memories are
            read and written.
        session_id: The conversation.
        long_term: Facts, and what was said in other conversations. Default: none of these.
        summary: A ``Summary``, which folds old messages into a text. With ``archive=False`` it
            deletes them, and what was not remembered before can be caught up no more.
        last: At most so many of the newest messages, from the beginning of a turn on; the newest
            turn is whole. None: as many as ``max_tokens`` allow.
        max_tokens: Of ``prompt_messages()``: notes, messages and question together. Only where the
            question and the newest turn are more, they are kept, and nothing else. Default: no
            limit.
        shares: The part of ``max_tokens`` that notes may take, by their kind. Default:
            ``{"summary": 1/8, "facts": 1/8, "recalled": 1/4}``. What they do not need goes to the
            messages.
        count_tokens: Counts the tokens of a list of plain messages. Default: characters / 4, and 4
            per message.
        facts: At most so many facts, the newest; 0 for none.
        k: At most so many messages, and others of the user's memories, from other conversations; 0
            for none, which saves the second round trip.
        extract: A chat model that finds facts about the user in each turn, once it is stored: see
            ``LongTermMemory.extract_facts``. It is not asked where the user only thanks or greets.
            Default: none.
        background: Do not let ``save_turn`` wait until the turn is remembered, and facts are found:
            a thread, or in async code a task, does that. ``close`` or ``aclose`` waits for those.
        url: See ``ValkeyConnection.from_url``; by default that of ``long_term``, else
            ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix, ttl, max_messages, on_corrupt, model, title: See ``MessageStore``.

    Raises:
        ConfigurationError, InvalidArgumentError, InvalidSessionIdError: From the constructor;
            nothing was sent.
        ConnectionFailedError, OperationTimeoutError, CommandError: From any method.
    """

    def __init__(
        self,
        *,
        user_id: str,
        session_id: str,
        long_term: LongTermMemory | None = None,
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
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        check_count(last, "last", optional=True)
        settings = turn_settings(
            long_term,
            summary=summary,
            last=last,
            max_tokens=max_tokens,
            shares=shares,
            count_tokens=count_tokens,
            facts=facts,
            k=k,
            extract=extract,
            background=background,
            url=url,
            connection=connection,
            key_prefix=key_prefix,
            ttl=ttl,
            max_messages=max_messages,
            on_corrupt=on_corrupt,
            model=model,
            title=title,
        )
        super().__init__(PlainCodec(), settings, user_id, session_id)
