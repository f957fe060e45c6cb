"""``Memory``: what is remembered about a user; as a document of the index, and back."""

from __future__ import annotations

import datetime as dt
import hashlib
import math
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from numbers import Real
from typing import Any, TypeAlias

from .._arguments import MAXIMUM, check_text, shown
from .._errors import InvalidArgumentError
from .._filters.expressions import FieldType
from .._vectors.documents import Document
from .._vectors.words import terms

Time: TypeAlias = dt.datetime | float
"""A datetime with a time zone, or Unix seconds."""

MESSAGE, FACT, EPISODE = "message", "fact", "episode"

WORDS = "words"
"""The terms of the text, in their order, for ranking. It is in no index."""
ORDER = "order"
"""By time, and what was said or learned in the same millisecond one after the other."""
TERMS = "terms"
TERMS_INDEXED = 2_000
"""So many different terms of a text are found by."""
FIELDS: dict[str, FieldType] = {
    "kind": "tag",
    "user_id": "tag",
    "session_id": "tag",
    "role": "tag",
    "speaker": "tag",
    "state": "tag",
    "created_at": "numeric",
    "valid_until": "numeric",
    "importance": "numeric",
    "seq": "numeric",
    ORDER: "numeric",
    TERMS: "tag",
}
"""What of a memory can be filtered. Times are Unix milliseconds."""

CURRENT, ENDED = "current", "ended"
"""Of ``state``. A tag, since a server finds those that have one sooner than those that lack one."""


_EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)


@dataclass(frozen=True, slots=True)
class Parts:
    """Why a memory was recalled.

    Attributes:
        similarity: Of its vector and the question's, times the factor; None when it is not among
            the nearest.
        vector_rank: Its place among the nearest, from 1.
        text_score: BM25 of its words, times the factor; 0 without any of the question's.
        text_rank: Its place by words, from 1.
        recency: 1 for what is new, 0.5 for what is one half-life old; None without a half-life.
        factor: What both were multiplied by, for the speaker and the time that
            the question names, and for recency.
    """

    similarity: float | None = None
    vector_rank: int | None = None
    text_score: float = 0.0
    text_rank: int | None = None
    recency: float | None = None
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered about a user.

    Attributes:
        id: Unique in the index.
        kind: ``"message"``, ``"fact"``, ``"episode"``, or one of your own.
        text: What is remembered.
        user_id: Whose it is.
        session_id: The conversation that it comes from; None where there is none.
        role: Of a message: ``"user"``, ``"assistant"``, ...
        name: Of a message: who said it, where the message told.
        created_at: When it was said or learned, in UTC.
        valid_until: When it ceased to hold; None while it does.
        importance: As it was given.
        message_id: Of a message: its own id, where it has one.
        sources: Of a fact: ids of the messages that it was learned from.
        replaces: Of a fact: the id of the one that it superseded.
        title: Of an episode.
        metadata: As it was given.
        score: From 0 to 1 in hybrid recall; the similarity or BM25 in the other modes; None where
            it was not searched for.
        parts: Why it was recalled; None where it was not searched for.
        neighbours: What was said right before and after it, in order, where that was asked for.
        messages: Of an episode that was recalled: the conversation, as plain dicts.
    """

    id: str
    kind: str
    text: str
    user_id: str
    session_id: str | None = None
    role: str | None = None
    name: str | None = None
    created_at: dt.datetime = _EPOCH
    valid_until: dt.datetime | None = None
    importance: float | None = None
    message_id: str | None = None
    sources: tuple[str, ...] = ()
    replaces: str | None = None
    title: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    score: float | None = None
    parts: Parts | None = None
    neighbours: tuple[Memory, ...] = ()
    messages: tuple[Mapping[str, Any], ...] = ()


def milliseconds(time: Time, name: str) -> int:
    """``time`` in Unix milliseconds.

    Raises:
        InvalidArgumentError: A datetime without a time zone, or no time at all.
    """
    if isinstance(time, dt.datetime):
        if time.tzinfo is None:
            raise InvalidArgumentError(
                f"{name}={shown(time)} has no time zone: use datetime.now(timezone.utc), or "
                ".astimezone() if it is local time"
            )
        return min(max(round(time.timestamp() * 1000), FIRST_MS), LAST_MS)
    if isinstance(time, bool) or not isinstance(time, Real) or time != time:
        raise InvalidArgumentError(
            f"{name} must be a datetime with a time zone, or Unix seconds, not {shown(time)}"
        )
    if not FIRST_MS <= time * 1000 <= LAST_MS:
        raise InvalidArgumentError(
            f"{name}={shown(time)} is not in the years 1 to 9999: give Unix seconds, not "
            "milliseconds"
        )
    return round(time * 1000)


FIRST_MS, LAST_MS = -62_135_596_800_000, 253_402_300_799_999
"""The first and the last that a datetime can be; of the years 1 and 9999."""


def moment(time_ms: float) -> dt.datetime:
    """Unix milliseconds as a datetime in UTC."""
    return _EPOCH + dt.timedelta(milliseconds=time_ms)


def speaker_tags(name: str) -> list[str]:
    """What a question may call a speaker: the whole name, and each word of it, in lower case."""
    whole = name.casefold().strip()
    return list(dict.fromkeys([whole, *whole.split()]))


def term_tags(user_id: str, found: Iterable[str]) -> list[str]:
    """Terms of a user's memory as tags of the index.

    A tag is the user's own, so the server looks up how many of this user's memories have a term in
    one step. A text field would have it look at each memory of the user: some 20 times as long, for
    2,000 memories on valkey-search 1.2.1.
    """
    some = islice(dict.fromkeys(found), TERMS_INDEXED)
    return [_digest(user_id, term, size=_TAG_BYTES) for term in some]


def spoken_text(text: str, role: str | None, name: str | None) -> str:
    """What is embedded of a message: who says it belongs to what it means."""
    who = name or role
    return f"{who}: {text}" if who else text


def titled(text: str, title: str | None) -> str:
    """What is embedded of an episode, and what of it is found by words."""
    return text if title is None else f"{title}\n{text}"


def new_document(
    document_id: str,
    kind: str,
    text: str,
    user_id: str,
    created_ms: int,
    language: str,
    *,
    session_id: str | None = None,
    role: str | None = None,
    name: str | None = None,
    importance: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    title: str | None = None,
    **own: Any,
) -> Document:
    """The document of a memory, not embedded yet. ``own`` are fields that only some kinds have."""
    who = name or role
    found = terms(titled(text, title), language)
    values = {
        "kind": kind,
        "user_id": user_id,
        "session_id": session_id,
        "role": role,
        "name": name,
        "speaker": speaker_tags(who) if who else None,
        "state": CURRENT,
        "created_at": created_ms,
        ORDER: _order(document_id, created_ms, own.get("seq")),
        "importance": importance,
        WORDS: " ".join(found),
        TERMS: term_tags(user_id, found),
        "title": title,
        "metadata": dict(metadata) if metadata else None,
        **own,
    }
    return Document(document_id, text, {key: v for key, v in values.items() if v is not None})


def _order(document_id: str, created_ms: int, seq: int | None) -> int:
    place = zlib.crc32(document_id.encode()) if seq is None else seq
    # Of times before 1684 and after 2255 all have one place: the server's numbers end there.
    return min(max(created_ms * 1000 + place % 1000, -MAXIMUM), MAXIMUM)


def memory_of(document: Document) -> Memory:
    """A document of the index as a ``Memory``."""
    own = document.metadata
    ended = own.get("valid_until")
    return Memory(
        id=document.id,
        kind=own["kind"],
        text=document.content,
        user_id=own["user_id"],
        session_id=own.get("session_id"),
        role=own.get("role"),
        name=own.get("name"),
        created_at=moment(own["created_at"]),
        valid_until=None if ended is None else moment(ended),
        importance=own.get("importance"),
        message_id=own.get("message_id"),
        sources=tuple(own.get("sources", ())),
        replaces=own.get("replaces"),
        title=own.get("title"),
        metadata=own.get("metadata", {}),
    )


# Ids. Each is a hash of the user and of what makes it the same memory, so that a repeated write
# changes nothing, and no user's id can be another's.

_NAME_BYTES = 16
_TAG_BYTES = 6


def _digest(*parts: str, size: int = _NAME_BYTES) -> str:
    # Lengths before the parts: no two lists of parts are one text.
    framed = "".join(f"{len(part)}:{part}" for part in parts)
    return hashlib.blake2b(framed.encode(), digest_size=size).hexdigest()


def message_name(user_id: str, session_id: str, *identity: str) -> str:
    """The id of a message: of its own id, or of who said what and when."""
    return _digest("message", user_id, session_id, *identity)


def text_name(user_id: str, kind: str, text: str, time_ms: int | None = None) -> str:
    """The id of a memory that its text alone identifies, whatever its articles and endings.

    Args:
        user_id: Whose it is.
        kind: ``"fact"`` for instance.
        text: Nearly the same text has the same id.
        time_ms: Tells it from an earlier one that holds no more.
    """
    again = () if time_ms is None else (str(time_ms),)
    return _digest("text", user_id, kind, " ".join(_spoken_words(text)), *again)


def _spoken_words(text: str) -> list[str]:
    """Words that make a text another one: negations, unlike in a search, but no articles."""
    plain = unicodedata.normalize("NFC", text).casefold()
    found = map(_bare, plain.replace("'", "").replace("\u2019", "").split())
    return [word for word in found if word and word not in _ARTICLES] or [text]


def _bare(word: str) -> str:
    """``word`` without the punctuation around it. What is in it tells 1.5 from 15; a sign before a
    number, a currency or an emoji are no punctuation."""
    begin, end = 0, len(word)
    while begin < end and _is_punctuation(word[begin]):
        begin += 1
    while end > begin and _is_punctuation(word[end - 1]):
        end -= 1
    if word[max(begin - 1, 0)] == "-" and word[begin : begin + 1].isdigit():
        begin -= 1
    return word[begin:end]


def _is_punctuation(character: str) -> bool:
    return unicodedata.category(character).startswith("P") and character not in "#%"


_ARTICLES = {"a", "an", "the"}


def episode_name(user_id: str, session_id: str) -> str:
    """The id of the episode that a conversation is."""
    return _digest("episode", user_id, session_id)


# Arguments


def check_kinds(kinds: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return ``kinds`` as a tuple; raise InvalidArgumentError unless they are names."""
    if kinds is None:
        return None
    if isinstance(kinds, (str, bytes)) or not isinstance(kinds, Iterable):
        raise InvalidArgumentError(f"kinds must be a list such as ['fact'], not {shown(kinds)}")
    return tuple(check_text(kind, "a kind") for kind in kinds)


def check_importance(importance: float | None) -> float | None:
    """Return ``importance``; raise InvalidArgumentError unless it is a finite number or None."""
    if importance is None:
        return None
    if isinstance(importance, bool) or not isinstance(importance, Real):
        raise InvalidArgumentError(f"importance must be a number, not {shown(importance)}")
    if not math.isfinite(importance):
        raise InvalidArgumentError(f"importance must be finite, not {shown(importance)}")
    return float(importance)


def memories_of(documents: Sequence[Document]) -> list[Memory]:
    return [memory_of(document) for document in documents]
