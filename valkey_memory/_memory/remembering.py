"""Writing memories: texts, the messages of turns; each is stored once. And forgetting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._arguments import check_count, check_text, shown
from .._errors import InvalidArgumentError
from .._plans import Now, Plan
from .._vectors.documents import Document
from .._vectors.plans import IndexPlans
from .._vectors.questions import Matching
from .._vectors.text_index import TextIndex
from .._vectors.vector import in_context
from .._vectors.words import check_language
from .memories import (
    CURRENT,
    ENDED,
    EPISODE,
    MESSAGE,
    Time,
    check_importance,
    milliseconds,
    new_document,
    spoken_text,
    text_name,
)
from .scope import scope
from .turns import Said, chosen, names_of, when

BEFORE_WEIGHT = 0.5
"""What the turn before counts in a message's vector. It has a share of the one before it, and so
on, which is near to the measured 0.5, 0.3, 0.2."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What is remembered of a turn, and in which language.

    Attributes:
        roles: Whose messages.
        min_length: Shorter ones are left out; in characters.
        language: Of the stemmer.
    """

    roles: tuple[str, ...]
    min_length: int
    language: str


def rules(roles: Sequence[str], min_length: int, language: str) -> Rules:
    """``Rules`` of a constructor's arguments.

    Raises:
        InvalidArgumentError, ConfigurationError: One of them cannot be.
    """
    if isinstance(roles, str):
        raise InvalidArgumentError(f'roles must be a list such as ["user"], not {shown(roles)}')
    check_count(min_length, "min_length", minimum=0)
    check_language(language)
    return Rules(tuple(check_text(role, "a role") for role in roles), min_length, language)


def remember_plan(
    texts: TextIndex,
    rules: Rules,
    text: str,
    user_id: str,
    kind: str,
    session_id: str | None,
    created_at: Time | None,
    importance: float | None,
    metadata: Mapping[str, Any] | None,
) -> Plan[str]:
    """Store a text unless nearly the same is there, and return its id."""
    check_text(text, "text")
    if not text.strip():
        raise InvalidArgumentError("text has nothing but white space")
    scope(user_id, (kind,), session_id)
    if kind in (MESSAGE, EPISODE):
        way = "remember_turn" if kind == MESSAGE else "store_episode"
        raise InvalidArgumentError(f"kind {shown(kind)} is what {way} stores: use that")
    check_importance(importance)
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidArgumentError(f"metadata must be a dict or None, not {shown(metadata)}")
    given_ms = None if created_at is None else milliseconds(created_at, "created_at")
    now: int = yield Now()
    name = yield from name_plan(texts.index.plans, user_id, kind, text)
    if name.taken:
        return name.id
    created = now if given_ms is None else given_ms
    document = new_document(
        name.id,
        kind,
        text,
        user_id,
        created,
        rules.language,
        session_id=session_id,
        importance=importance,
        metadata=metadata,
    )
    (vector,) = yield from texts.embed_plan([text])
    documents = [replace(document, embedding=vector), *name.moved]
    yield from texts.index.plans.upsert_plan(documents, None, None)
    return name.id


@dataclass(frozen=True, slots=True)
class Name:
    """The id for a text.

    Attributes:
        id: That of its words, so that nearly the same text has the same.
        taken: A memory that holds has it already.
        moved: One that held once before, under another id, to be written with the new one.
    """

    id: str
    taken: bool = False
    moved: tuple[Document, ...] = ()


def name_plan(plans: IndexPlans, user_id: str, kind: str, text: str) -> Plan[Name]:
    """The id for ``text``, which is free once ``moved`` is written. One round trip."""
    (name,) = yield from names_plan(plans, user_id, kind, [text])
    return name


def names_plan(
    plans: IndexPlans, user_id: str, kind: str, given: Sequence[str]
) -> Plan[list[Name]]:
    """``name_plan`` of several texts. One round trip."""
    ids = [text_name(user_id, kind, text) for text in given]
    known = {one.id: one for one in (yield from plans.get_plan(ids, True))}
    return [_name(one, known.get(one), user_id, kind) for one in ids]


def _name(name: str, old: Document | None, user_id: str, kind: str) -> Name:
    if old is None:
        return Name(name)
    if old.metadata["state"] == CURRENT:
        return Name(name, taken=True)
    was = text_name(user_id, kind, old.content, old.metadata["created_at"])
    return Name(name, moved=(replace(old, id=was),))


def remember_turn_plan(
    texts: TextIndex,
    rules: Rules,
    session_id: str,
    messages: Sequence[object],
    user_id: str,
    created_at: Time | None,
) -> Plan[list[str]]:
    """Store the messages that are not stored yet; the ids of all that are remembered."""
    own = scope(user_id, (MESSAGE,), check_text(session_id, "session_id"), ended=True)
    given_ms = None if created_at is None else milliseconds(created_at, "created_at")
    found = chosen(messages, rules.roles, rules.min_length)
    if not found:
        return []
    ids = names_of(found, user_id, session_id, given_ms)
    plans = texts.index.plans
    known = {one.id: one for one in (yield from plans.get_plan(ids, True))}
    new = [
        (name, one)
        for name, one in zip(ids, found, strict=True)
        if name not in known or known[name].content != one.text
    ]
    if not new:
        return ids
    newest: list[Document]
    (newest,) = yield from plans.ask_plan(
        [Matching(own.condition(), 1, "seq", descending=True, embeddings=True)]
    )
    now: int = yield Now()
    vectors = yield from texts.embed_plan(
        [spoken_text(one.text, one.role, one.name) for _, one in new]
    )
    before = newest[0].embedding if newest else None
    seq = newest[0].metadata["seq"] if newest else -1
    documents = []
    for (name, one), vector in zip(new, in_context(vectors, before, BEFORE_WEIGHT), strict=True):
        earlier = known.get(name)
        if earlier is None:
            seq += 1
        document = _message(name, one, user_id, session_id, earlier, seq, given_ms, now, rules)
        documents.append(replace(document, embedding=vector))
    yield from plans.upsert_plan(documents, None, None)
    return ids


def _message(
    name: str,
    one: Said,
    user_id: str,
    session_id: str,
    earlier: Document | None,
    seq: int,
    given_ms: int | None,
    now_ms: int,
    rules: Rules,
) -> Document:
    """A message as a document. One that was edited keeps its place and its time."""
    values = {} if earlier is None else earlier.metadata
    return new_document(
        name,
        MESSAGE,
        one.text,
        user_id,
        values.get("created_at", when(one, given_ms, now_ms)),
        rules.language,
        session_id=session_id,
        role=one.role,
        name=one.name,
        message_id=one.message_id,
        seq=values.get("seq", seq),
    )


def correct_plan(
    texts: TextIndex, rules: Rules, memory_id: str, text: str, user_id: str
) -> Plan[str]:
    """Put ``text`` in the place of what a memory says; the id of the new one."""
    check_text(text, "text")
    plans = texts.index.plans
    old = yield from own_plan(plans, memory_id, user_id)
    kind = old.metadata["kind"]
    if kind in (MESSAGE, EPISODE):
        raise InvalidArgumentError(
            f"{shown(memory_id)} is a {kind}: what was said stays as it was; forget(ids=[...]) "
            "removes it"
        )
    now: int = yield Now()
    name = yield from name_plan(plans, user_id, kind, text)
    if name.id == memory_id:
        name = Name(memory_id)  # only its wording changes
    values = old.metadata
    over = [ended(old, now)] if name.id != memory_id and values["state"] == CURRENT else []
    if name.taken:
        yield from plans.upsert_plan(over, None, None)
        return name.id
    new = new_document(
        name.id,
        kind,
        text,
        user_id,
        now,
        rules.language,
        session_id=values.get("session_id"),
        importance=values.get("importance"),
        metadata=values.get("metadata"),
        sources=values.get("sources"),
        replaces=values.get("replaces") if name.id == memory_id else memory_id,
    )
    (vector,) = yield from texts.embed_plan([text])
    documents = [replace(new, embedding=vector), *name.moved, *over]
    yield from plans.upsert_plan(documents, None, None)
    return name.id


def own_plan(plans: IndexPlans, memory_id: str, user_id: str) -> Plan[Document]:
    """A memory of this user with its vector.

    Raises:
        InvalidArgumentError: There is none of that id; somebody else's is none.
    """
    check_text(user_id, "user_id")
    found = yield from plans.get_plan([memory_id], True)
    if not found or found[0].metadata.get("user_id") != user_id:
        raise InvalidArgumentError(
            f"user {shown(user_id)} has no memory with the id {shown(memory_id)}"
        )
    return found[0]


def ended(document: Document, time_ms: int) -> Document:
    """The document of a memory that holds no more, since ``time_ms``."""
    values = {**document.metadata, "state": ENDED, "valid_until": time_ms}
    return replace(document, metadata=values)
