"""Learning facts from a conversation: each message is considered once, by one worker at a time.

Claim the new messages; show those that may hold facts to the model, with the facts that are known;
store what it proposes; note the messages as considered. Facts come before that note, and their ids
are those of their texts: a worker that dies in between leaves the messages to the next one, which
stores nothing twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import orjson

from .._arguments import check_text
from .._attempts import attempted_plan
from .._conversations import considered
from .._conversations.considered import Fresh
from .._errors import ValkeyMemoryError
from .._messages.elements import readable
from .._models.chat import check_chat_model
from .._models.structured import Answer, AskForObjects
from .._plans import Now, Plan, change_plan
from .._vectors.documents import Document
from .._vectors.questions import Matching, Nearest
from .._vectors.text_index import TextIndex
from . import facts
from .facts import Numbered, Rejected
from .jobs import NewOwner
from .memories import CURRENT, FACT, ORDER, memory_of, new_document
from .remembering import Rules, ended, names_plan
from .scope import check_owner, scope
from .turns import said, said_all

LEASE_MS = 120_000
"""For so long others leave a conversation to the one who considers it."""
TRIES = 3
"""After so many answers that cannot be read, the messages are left alone."""
_KNOWN = 20
"""Facts that are shown: so many of the nearest, and so many of the newest."""
_QUERY_CHARACTERS = 4_000


@dataclass(frozen=True, slots=True)
class Extraction:
    """What came of ``extract_facts``.

    Attributes:
        considered: How many messages were looked at, and will not be again.
        added: Ids of new facts.
        changed: Ids of facts that hold no more, each with that of the one in its place.
        ended: Ids of facts that hold no more.
        rejected: What the model proposed and was not stored, with the reason.
        unreadable: What of its answers could not be read. The messages are tried again at the next
            call, three times altogether.
        waiting: Messages that the next call is to consider.
        busy: Somebody else considers the conversation; nothing was done.
    """

    considered: int = 0
    added: tuple[str, ...] = ()
    changed: tuple[tuple[str, str], ...] = ()
    ended: tuple[str, ...] = ()
    rejected: tuple[Rejected, ...] = ()
    unreadable: tuple[str, ...] = ()
    waiting: int = 0
    busy: bool = False

    def and_then(self, other: Extraction) -> Extraction:
        """Both together; what is waiting is as in the later one."""
        return Extraction(
            self.considered + other.considered,
            self.added + other.added,
            self.changed + other.changed,
            self.ended + other.ended,
            self.rejected + other.rejected,
            self.unreadable + other.unreadable,
            other.waiting,
            other.busy,
        )


@dataclass(frozen=True, slots=True)
class Extractor:
    """What extracts facts of one user's conversation.

    Attributes:
        texts: The index.
        rules: Its language.
        key: The conversation's list.
        session_id: The conversation.
        user_id: Whose facts.
        model: Who is asked.
    """

    texts: TextIndex
    rules: Rules
    key: str
    session_id: str
    user_id: str
    model: Any


def extract_plan(extractor: Extractor, messages: Sequence[object] | None) -> Plan[Extraction]:
    """Learn facts from what is new in a conversation, or in ``messages``, in portions."""
    check_text(extractor.user_id, "user_id")
    check_chat_model(extractor.model)
    given = None if messages is None else _given(messages)
    owner: str = yield NewOwner()
    found = Extraction()
    while True:
        if given is None:
            step = yield from _stored_portion_plan(extractor, owner)
        else:
            step = yield from _given_portion_plan(extractor, owner, given)
        found = found.and_then(step)
        if not step.considered or not step.waiting or step.unreadable:
            return found


# Portions


def _stored_portion_plan(extractor: Extractor, owner: str) -> Plan[Extraction]:
    key = extractor.key
    claim = considered.claim(key, owner, LEASE_MS, facts.PORTION_MESSAGES)
    fresh: Fresh | None = yield from change_plan(claim)
    if fresh is None:
        return Extraction(busy=True)
    if not fresh.number:
        return Extraction()
    if fresh.owner and fresh.owner != extractor.user_id:
        yield from change_plan(considered.commit(key, owner, (), over=True))
        check_owner(extractor.session_id, fresh.owner, extractor.user_id)
    now: int = yield Now()
    before = [_numbered(raw, element, now) for raw, element in _read(fresh.before)]
    new = [
        _numbered(raw, element, now)._replace(considered=True)
        for raw, element in _read(fresh.elements)
    ]
    count = facts.portion(new)
    names = [considered.name_of(raw) for raw in fresh.elements[:count]]
    shown = [*before, *new[:count]]
    return (
        yield from _considered_plan(
            extractor, owner, shown, names, fresh.number - count, fresh.failures
        )
    )


def _given_portion_plan(
    extractor: Extractor, owner: str, given: Sequence[tuple[str, Numbered]]
) -> Plan[Extraction]:
    claim = considered.claim(extractor.key, owner, LEASE_MS, 1, anyhow=True)
    fresh: Fresh | None = yield from change_plan(claim)
    if fresh is None:
        return Extraction(busy=True)
    known: list[bool] = []
    if given:
        names = [name for name, _ in given]
        known = yield from change_plan(considered.known_names(extractor.key, names))
    first = next((place for place, done in enumerate(known) if not done), len(known))
    count = facts.portion([one for _, one in given[first:]])
    now: int = yield Now()
    part = list(zip(given, known, strict=True))[max(first - 2, 0) : first + count]
    shown = [
        one._replace(considered=not done, time_ms=one.time_ms or now) for (_, one), done in part
    ]
    names = [name for (name, _), done in part if not done]
    waiting = known[first + count :].count(False)
    return (yield from _considered_plan(extractor, owner, shown, names, waiting, fresh.failures))


def _considered_plan(
    extractor: Extractor,
    owner: str,
    shown: Sequence[Numbered],
    names: Sequence[str],
    waiting: int,
    failures: int,
) -> Plan[Extraction]:
    """Learn from ``shown``, and note ``names`` as considered."""
    key = extractor.key
    try:
        found = yield from attempted_plan(_learned_plan(extractor, facts.chosen(shown)))
    except Exception:
        # The conversation is free at once, if the server can be reached; else with the lease.
        with suppress(ValkeyMemoryError):
            yield from change_plan(considered.commit(key, owner, (), over=True))
        raise
    if found.unreadable and failures + 1 < TRIES:
        yield from change_plan(considered.commit(key, owner, (), over=True, failed=True))
        return replace(found, waiting=waiting + len(names))
    yield from change_plan(considered.commit(key, owner, names, over=not waiting))
    return replace(found, considered=len(names), waiting=waiting)


# Learning


def _learned_plan(extractor: Extractor, shown: Sequence[Numbered]) -> Plan[Extraction]:
    """Ask the model, and store what it proposes."""
    spoken = [one.said.text for one in shown if one.considered]
    if not spoken:
        return Extraction()
    documents = yield from _known_plan(extractor, "\n".join(spoken)[-_QUERY_CHARACTERS:])
    known = [memory_of(document) for document in documents]
    answer: Answer = yield AskForObjects(
        extractor.model, facts.prompt(known, shown), facts.SCHEMA, facts.FIELD
    )
    read = facts.read(answer.objects, known, shown)
    of = {document.id: document for document in documents}
    found = yield from _stored_plan(extractor, read.proposals, of)
    return replace(
        found,
        rejected=tuple(read.rejected),
        unreadable=() if answer.unreadable is None else (answer.unreadable,),
    )


def _known_plan(extractor: Extractor, text: str) -> Plan[list[Document]]:
    """The facts that the model is shown, with their vectors. One round trip."""
    plans = extractor.texts.index.plans
    condition = scope(extractor.user_id, (FACT,)).condition()
    (vector,) = yield from extractor.texts.embed_plan([text])
    nearest, newest = yield from plans.ask_plan(
        [
            Nearest(plans.packed(vector), _KNOWN, condition, embeddings=True),
            Matching(condition, _KNOWN, ORDER, descending=True, embeddings=True),
        ]
    )
    found = {one.id: one for one in (*(hit.document for hit in nearest), *newest)}
    return list(found.values())


def _stored_plan(
    extractor: Extractor, proposals: Sequence[facts.Proposal], of: dict[str, Document]
) -> Plan[Extraction]:
    """Store what was proposed: one round trip that reads, one that writes."""
    plans, user_id = extractor.texts.index.plans, extractor.user_id
    texts = [one.text for one in proposals if one.text is not None]
    names = yield from names_plan(plans, user_id, FACT, texts)
    vectors = yield from extractor.texts.embed_plan(texts)
    made = iter(zip(names, vectors, strict=True))
    added: list[str] = []
    changed: list[tuple[str, str]] = []
    over: list[str] = []
    documents: dict[str, Document] = {}
    for one in proposals:
        time_ms = max(source.time_ms for source in one.sources)
        old = None if one.known is None else of[one.known.id]
        new_id: str | None = None
        if one.text is not None:
            name, vector = next(made)
            new_id = name.id
            if not name.taken or (old is not None and old.id == new_id):
                document = _fact(extractor, one, new_id, time_ms, old)
                documents[new_id] = replace(document, embedding=vector)
                documents |= {moved.id: moved for moved in name.moved}
                if old is None:
                    added.append(new_id)
        if old is not None and old.id != new_id:
            until = max(time_ms, old.metadata["created_at"])
            documents[old.id] = ended(old, until)
            if new_id is None:
                over.append(old.id)
            else:
                changed.append((old.id, new_id))
    if documents:
        yield from plans.upsert_plan(documents.values(), None, None)
    return Extraction(added=tuple(added), changed=tuple(changed), ended=tuple(over))


def _fact(
    extractor: Extractor,
    proposal: facts.Proposal,
    name: str,
    time_ms: int,
    old: Document | None,
) -> Document:
    own: dict[str, Any] = {"sources": [source.source for source in proposal.sources]}
    if old is not None:  # what its user knows of it stays with it
        kept = ("importance", "metadata", *(["replaces"] if old.id == name else []))
        own |= {key: old.metadata[key] for key in kept if key in old.metadata}
        if old.id != name and old.metadata["state"] == CURRENT:
            own["replaces"] = old.id
    return new_document(
        name,
        FACT,
        proposal.text or "",
        extractor.user_id,
        time_ms,
        extractor.rules.language,
        session_id=extractor.session_id,
        **own,
    )


# Messages


def _read(raws: Sequence[bytes]) -> list[tuple[bytes, dict[str, Any]]]:
    return list(zip(raws, readable(raws), strict=True))


def _numbered(raw: bytes, element: dict[str, Any], now_ms: int) -> Numbered:
    if not element.get("role"):  # it cannot be read
        element = {"role": "unreadable", "content": ""}
    one = said(element)
    source = one.message_id or considered.name_of(raw)
    return Numbered(one, source, now_ms if one.time_ms is None else one.time_ms, considered=False)


def _given(messages: Sequence[object]) -> list[tuple[str, Numbered]]:
    """Messages that are not stored, with the names by which they are known to be considered."""
    found = []
    for one in said_all(messages):
        identity = [one.message_id, one.role, one.name, one.text]
        name = considered.name_of_given(orjson.dumps(identity))
        found.append((name, Numbered(one, one.message_id or name, one.time_ms or 0, False)))
    return found
