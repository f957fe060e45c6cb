"""What both chat stores are made from, as pydantic fields that rebuild them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from llama_index.core.base.llms.types import ChatMessage
from pydantic import (
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_serializer,
    model_serializer,
)

from valkey_memory import ConfigurationError, Summary, ValkeyConnection
from valkey_memory.adapters import (
    TTL,
    ConversationStore,
    OnCorrupt,
    TokenCounter,
    hide_url,
    mask,
)

from ._codec import LlamaIndexCodec
from ._rebuilding import Rebuilt


def _seconds(ttl: TTL | None) -> float | None:
    return ttl.total_seconds() if isinstance(ttl, timedelta) else ttl


class ChatStoreFields(Rebuilt):
    """The public fields of a chat store, its constructor, and how it is written down and rebuilt.

    ``to_dict`` and pickles hold the URL with its password. To keep a password out of them, leave
    ``url`` out and set the environment variable ``VALKEY_URL`` where the store is rebuilt.
    """

    url: str | None = Field(default=None, description="Server URL; None reads VALKEY_URL.")
    ttl: float | None = Field(default=None, description="Seconds until a conversation expires.")
    max_messages: int | None = Field(default=None, description="Newest messages kept per key.")
    key_prefix: str = Field(default="chat:", description="What every Valkey key starts with.")
    refresh_ttl_on_read: bool = Field(default=False, description="Reading restarts the TTL.")
    on_corrupt: OnCorrupt = Field(default="raise", description='"raise" or "skip".')
    whole_turns: bool = Field(default=False, description="max_messages keeps whole turns.")

    user_id: str | None = Field(default=None, description="Whose conversations: for records.")
    model: str | None = Field(default=None, description="The model that answers: for records.")
    title: str | None = Field(default=None, description="Of conversations without one.")

    _connection: ValkeyConnection = PrivateAttr()
    _count_tokens: TokenCounter[ChatMessage] | None = PrivateAttr(default=None)
    _summary: Summary | None = PrivateAttr(default=None)
    _made: tuple[dict[str, Any], ConversationStore[ChatMessage]] | None = PrivateAttr(default=None)
    _takes_summary: ClassVar[bool] = True

    def __init__(
        self,
        *,
        url: str | None = None,
        connection: ValkeyConnection | None = None,
        ttl: TTL | None = None,
        max_messages: int | None = None,
        key_prefix: str = "chat:",
        refresh_ttl_on_read: bool = False,
        on_corrupt: OnCorrupt = "raise",
        whole_turns: bool = False,
        user_id: str | None = None,
        model: str | None = None,
        title: str | None = None,
        count_tokens: TokenCounter[ChatMessage] | None = None,
        summary: Summary | None = None,
    ) -> None:
        url = hide_url(url)  # an error shows it to tools that print variables
        # Wrong options fail here, before pydantic makes other values of them.
        store = ConversationStore(
            LlamaIndexCodec(),
            url=url,
            connection=connection,
            key_prefix=key_prefix,
            ttl=ttl,
            max_messages=max_messages,
            refresh_ttl_on_read=refresh_ttl_on_read,
            on_corrupt=on_corrupt,
            whole_turns=whole_turns,
            user_id=user_id,
            model=model,
            title=title,
            count_tokens=count_tokens,
            summary=summary,
        )
        if summary is not None and not self._takes_summary:
            raise ConfigurationError(
                f"{type(self).__name__} has no summary of its own: Memory counts its messages, and "
                "archives as many. Give Memory a ValkeySummaryBlock"
            )
        super().__init__(
            url=url if connection is None else connection.url,
            ttl=_seconds(ttl),
            max_messages=max_messages,
            key_prefix=key_prefix,
            refresh_ttl_on_read=refresh_ttl_on_read,
            on_corrupt=on_corrupt,
            whole_turns=whole_turns,
            user_id=user_id,
            model=model,
            title=title,
        )
        self._connection = store.connection
        self._count_tokens = count_tokens
        self._summary = summary

    @property
    def _store(self) -> ConversationStore[ChatMessage]:
        """The store that the fields describe, also after they were changed or copied."""
        private = self.__pydantic_private__ or {}  # as an attribute it takes ten times as long
        made = private.get("_made")
        if made is None or made[0] != self.__dict__:
            made = self._made = dict(self.__dict__), self._make()
        return made[1]

    def _make(self) -> ConversationStore[ChatMessage]:
        same = self.url is None or self.url == self._connection.url
        return ConversationStore(
            LlamaIndexCodec(),
            url=None if same else self.url,
            connection=self._connection if same else None,
            key_prefix=self.key_prefix,
            ttl=self.ttl,
            max_messages=self.max_messages,
            refresh_ttl_on_read=self.refresh_ttl_on_read,
            on_corrupt=self.on_corrupt,
            whole_turns=self.whole_turns,
            user_id=self.user_id,
            model=self.model,
            title=self.title,
            count_tokens=self._count_tokens,
            summary=self._summary,
        )

    @field_serializer("ttl")
    def _in_seconds(self, ttl: TTL | None) -> float | None:
        return _seconds(ttl)  # one that was assigned may be a timedelta

    @model_serializer(mode="wrap")
    def custom_model_dump(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        self._check_rebuildable()
        return {**handler(self), "class_name": type(self).__name__}

    def _check_rebuildable(self) -> None:
        if self.url is None and self._connection.url is None:
            raise ConfigurationError(
                "this store was made with a connection that no URL describes, so it cannot be "
                "written down: make it with url="
            )
        for name, value in (("count_tokens", self._count_tokens), ("summary", self._summary)):
            if value is not None:
                raise ConfigurationError(
                    f"this store has {name}=, which cannot be written down: make it without, and "
                    "pass it again where the store is rebuilt"
                )

    def to_dict(self, **kwargs: Any) -> dict[str, Any]:
        """The public fields and ``class_name``; ``from_dict`` makes an equal store of them."""
        self._check_rebuildable()  # pydantic wraps errors from inside a dump
        return self.model_dump(**kwargs)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self.__dict__ == other.__dict__

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, mask(value) if name == "url" and value else value
