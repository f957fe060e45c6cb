"""LangChain's documents from those of the core, and their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from langchain_core.documents import Document

from valkey_memory import Document as StoredDocument
from valkey_memory import Hit
from valkey_memory.adapters.construct import construct, has_fields

Scored: TypeAlias = list[tuple[Document, float]]
_constructible = has_fields(Document, "id", "metadata", "page_content", "type")


def parts_of(documents: Sequence[Document]) -> tuple[list[str], list[dict[str, Any]]]:
    """Their texts and their metadata."""
    return [d.page_content for d in documents], [d.metadata for d in documents]


def ids_of(documents: Sequence[Document], ids: Sequence[str | None] | None) -> Sequence[str | None]:
    """``ids``, and the documents' own where it has none."""
    if ids is None:
        return [document.id for document in documents]
    if len(ids) != len(documents):
        return ids  # the error names both numbers
    return [
        document.id if given is None else given
        for given, document in zip(ids, documents, strict=True)
    ]


def to_document(found: StoredDocument) -> Document:
    """A document of LangChain."""
    return Document(id=found.id, page_content=found.content, metadata=dict(found.metadata))


def to_scored(hits: Sequence[Hit]) -> Scored:
    """What was found, with its score."""
    return [(to_document(hit.document), hit.score) for hit in hits]


def to_documents(hits: Sequence[Hit]) -> list[Document]:
    """What was found, without its score. Making one Document at a time takes longer than all else
    that a search does in Python."""
    if not _constructible:
        return [to_document(hit.document) for hit in hits]
    fields = [
        {
            "id": hit.document.id,
            "metadata": dict(hit.document.metadata),
            "page_content": hit.document.content,
            "type": "Document",
        }
        for hit in hits
    ]
    return construct(Document, fields, {"id", "metadata", "page_content"})
