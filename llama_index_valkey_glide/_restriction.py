"""Which ids a query is limited to, which LlamaIndex does not say clearly.

A ``VectorStoreIndex`` sends all ids that its index struct knows with every query. For a store that
keeps no text, such as SimpleVectorStore, these are all nodes. For one that keeps text they are the
image and index nodes alone: one among many text nodes, and a query would find nothing else. So the
complete list of a retriever's index is no limit here, as it is none for SimpleVectorStore. A query
does not tell who made it; it is seen from the retriever that calls.
"""

from __future__ import annotations

import sys

from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.vector_stores.types import VectorStoreQuery

_NEAR = 6
"""Calls between a retriever and the store, at most: wrappers that count or trace."""


def restricted_ids(query: VectorStoreQuery) -> list[str] | None:
    """The node ids that ``query`` is limited to; None where it is not.

    Called by ``query`` and ``aquery``, before they wait for anything.
    """
    if not query.node_ids:
        return None  # VectorStoreIndex sends an empty list, too
    frame = sys._getframe(1)
    for _ in range(_NEAR):
        caller = frame.f_back
        if caller is None:
            break
        frame = caller
        retriever = frame.f_locals.get("self")
        if isinstance(retriever, VectorIndexRetriever):
            known = retriever._index.index_struct.nodes_dict.values()
            return None if list(known) == query.node_ids else query.node_ids
    return query.node_ids
