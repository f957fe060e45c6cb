"""``search``: documents found by meaning, in an index that is there."""

from __future__ import annotations

from typing import Annotated, Any, cast

import orjson
import typer
from rich.padding import Padding
from rich.text import Text

from .._errors import ConfigurationError
from .._server.connection import ValkeyConnection
from .._vectors.discovery import index_plan, names_plan
from .._vectors.index import VectorIndex
from .._vectors.vector import Metric
from . import output
from .app import CliError, Json, Timeout, Url, connected
from .models import Embedding, embed_query
from .output import out, say, visible, visible_lines


def search(
    query: Annotated[str, typer.Argument(help="What to look for, in plain words.")],
    index: Annotated[str, typer.Option("--index", "-i", help="The name of the index.")],
    embedding: Embedding = "local",
    k: Annotated[
        int, typer.Option("-k", min=1, metavar="N", help="At most so many documents.")
    ] = 5,
    filter_: Annotated[
        str | None,
        typer.Option(
            "--filter",
            metavar="JSON",
            help='Only documents with this metadata, such as \'{"user_id": "alice"}\'.',
        ),
    ] = None,
    min_score: Annotated[float | None, typer.Option(help="Leave out what is less similar.")] = None,
    metric: Annotated[
        str,
        typer.Option(help="Of exact search: cosine, l2 or ip. An index on the server has its own."),
    ] = "cosine",
    url: Url = None,
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Find documents by meaning, with their similarity."""
    condition = _condition(filter_)
    with connected(url, timeout) as connection:
        attached = attach(connection, index, metric)
        vector = embed_query(embedding)(query)
        if len(vector) != attached.dimension:
            raise CliError(
                f"--embedding {embedding} gives {len(vector)} numbers, and index {index!r} has "
                f"vectors of {attached.dimension}: name the model that its documents were "
                "embedded with"
            )
        hits = attached.search(vector, k, filter=condition, min_score=min_score)
    for hit in hits:
        document = hit.document
        if json:
            output.print_json(
                {
                    "score": hit.score,
                    "id": document.id,
                    "content": document.content,
                    "metadata": dict(document.metadata),
                }
            )
            continue
        metadata = "  ".join(f"{key}={value}" for key, value in document.metadata.items())
        say(
            (f"{hit.score:6.3f}", "bold green"),
            ("  " + visible(document.id), "bold"),
            ("  " + visible(metadata), "dim"),
        )
        text = Text(visible_lines(document.content))
        if out.is_terminal:
            out.print(Padding(text, (0, 0, 0, 8), expand=False))
        else:
            out.print(Text("        ") + text, soft_wrap=True)
    if not hits and not json:
        output.tell("Nothing found.")


def _condition(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = orjson.loads(text)
    except ValueError as error:
        raise ConfigurationError(f"--filter is no JSON: {error}") from error
    if not isinstance(value, dict):
        raise ConfigurationError('--filter must be a JSON object, such as {"user_id": "alice"}')
    return value


def attach(connection: ValkeyConnection, name: str, metric: str) -> VectorIndex:
    """The index of that name with the shape that it has, on the server or for exact search.

    Raises:
        CliError: There is none, or it is not one of this library's.
    """
    found = connection.run(index_plan(name))
    if found is None:
        known = connection.run(names_plan())
        raise CliError(
            f"there is no index {name!r}, and there are no documents at {name + ':'!r}. "
            f"There {'are ' + ', '.join(known) if known else 'is none at all'} "
            f"at {connection.address}"
        )
    if not found.dimension:
        raise CliError(
            f"index {name!r} has no vector field _embedding: it was not made by this library"
        )
    return VectorIndex(
        name,
        found.dimension,
        fields=found.fields,
        connection=connection,
        storage=found.storage,
        search=found.search,
        metric=found.metric or cast("Metric", metric),
        algorithm=found.algorithm or "hnsw",
    )
