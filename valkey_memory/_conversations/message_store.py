"""``MessageStore``: conversations of plain dicts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Unpack

from .._arguments import with_options
from .._messages.codecs import PlainCodec
from .store import ConversationStore, StoreOptions


class MessageStore(ConversationStore[Mapping[str, Any]]):
    """Conversations as plain ``{"role", "content"}`` dicts, for code without a framework.

    A conversation is one Valkey List at ``{key_prefix}{session_id}``, one JSON message per element:
    what other GLIDE code writes there with RPUSH is read here, and the other way round. Every
    message comes back as it was given, whatever API it is for: Anthropic's and Bedrock's blocks,
    OpenAI's refusals, keys of your own. Objects of OpenAI's client come back as their dict.
    Messages that LangChain or LlamaIndex stored come out in OpenAI's form.

    Every method is one round trip, and atomic where it changes something; every method has an async
    twin with the prefix ``a``. Safe to share between threads and event loops.

    Examples:
        >>> from valkey_memory import MessageStore
        >>> store = MessageStore(url="embedded://", ttl=3600, max_messages=100)
        >>> store.extend("alice-1", [
        ...     {"role": "user", "content": "What is Valkey?"},
        ...     {"role": "assistant", "content": "A key-value store."},
        ... ])
        >>> store.messages("alice-1", last=1)
        [{'role': 'assistant', 'content': 'A key-value store.'}]

    Args:
        url: See ``ValkeyConnection.from_url``; by default ``VALKEY_URL`` or localhost.
        connection: A ``ValkeyConnection``, instead of ``url``.
        key_prefix: What every key starts with; no braces. Change it per application or tenant.
        ttl: Seconds (or a timedelta) after which a conversation expires. Each write restarts it.
            None, the default, sets no expiry and keeps one that is there.
        max_messages: The window: after each write only the newest so many are kept. Default: all.
            It counts messages: the first one may be an answer or a tool's result.
        whole_turns: ``max_messages`` keeps whole turns: the first message is the user's, or a
            system message before it. A newest turn of more messages stays whole.
        refresh_ttl_on_read: Reading restarts the TTL too, in the same round trip.
        on_corrupt: What to do with an element that is no message: ``"raise"`` CorruptMessageError,
            or ``"skip"`` it with a warning in the log ``valkey_memory``. It stays in the list.
        user_id: Whose conversations they are. With it, ``model``, ``title`` or ``count_tokens``
            each write keeps the conversation's record, in the same round trip: ``SessionStore``
            reads it, and lists a user's conversations. Can be given per write, too.
        model: The model that answers, for the record.
        title: For a record that has none.
        count_tokens: Counts the tokens of the messages of a write, for the record: a function of
            their list. Default: what they say themselves (``usage``, as model APIs report it), and
            else none.
        summary: A ``Summary``, which makes one of the oldest messages once there are many; reading
            all or the newest then begins with it. ``page`` and ``count`` know messages only.
        extra_keys: Hand out every stored key: also ``ts``, when it was stored, and of messages that
            a framework wrote all that there is. By default nothing that model APIs refuse.
        timestamps: False stores no ``ts``: elements are bare messages, for readers that hand them
            to a model API as they are.

    Raises:
        ConfigurationError, InvalidArgumentError: From the constructor; an argument cannot work.
        InvalidSessionIdError, MessageEncodeError: From a method, before anything was sent.
        CorruptMessageError: From a reading method.
        ConnectionFailedError, OperationTimeoutError, KeyTypeError, CommandError: From any method.
    """

    @with_options(StoreOptions, ConversationStore)
    def __init__(
        self, *, extra_keys: bool = False, timestamps: bool = True, **options: Unpack[StoreOptions]
    ) -> None:
        super().__init__(PlainCodec(extra_keys=extra_keys, timestamps=timestamps), **options)
