"""Sizes and counts: of one request, of one document, of one index."""

from __future__ import annotations

BATCH_BYTES = 4_000_000
"""Payload of a transaction that writes: 200 documents of 1,536 numbers in JSON. With a quarter of
that they took 2 to 9 % longer; more would keep others waiting for longer."""

BATCH_DOCUMENTS = 200
"""Documents in a transaction that writes."""

CLUSTER_BATCH = 3
"""So many times as much goes over a cluster in a pipeline, of which each node has its part."""

READ_DOCUMENTS = 500
"""Documents in a request that reads by id."""

SCRIPTED_READ = 50
"""From so many documents on, exact search reads them with a script, where that can be."""

NOTED_IDS = 500
"""Ids in an entry of the log of changes."""

PAGE = 1_000
"""Ids in a step of a walk over an index."""

CHANGES_KEPT = 10_000
"""Entries that the log of changes keeps, about."""

CHANGES_READ = 5_000
"""Entries in a request that reads the log of changes."""

CHANGE_SECONDS = 60
"""Behind its first note, a change in a cluster that was not ended may still come in for so long."""

NODES_SECONDS = 5
"""In a cluster, exact search looks so often whether a node was started anew."""

READY_SECONDS = 60.0
"""How long what promises to be complete waits for an index that is still being filled."""

RESULTS_LOOKED_AT = 100_000
"""So many valkey-search looks at without a vector, ``search.max-nonvector-search-results-fetched``,
and takes for all there are: no error, a wrong count, and an order of these alone."""

NEAREST = 10_000
"""Documents that valkey-search returns of one search by vector, at most (KNN's own limit)."""

EXACT_LIMIT = 20_000
"""Documents that exact search holds in the client, by default."""

DIMENSION = 32_768
"""Numbers per vector, at most."""

DOCUMENT_BYTES = 5_000_000
"""A document is refused above this: valkey-search leaves what is above 5 MiB out of its results,
without a word (``search.max-search-result-record-size``)."""

METADATA_DEPTH = 100
"""Lists and dicts within each other in metadata. valkey-json takes 128 levels of a document."""

POLL_SECONDS = 0.05
"""Between two questions whether an index is ready."""
