"""``consolidate``: facts and episodes of conversations that are over, for a cron job."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import LongTermMemory
from . import output
from .app import Json, KeyPrefix, Timeout, Url, connected
from .models import Embedding, chat_model, embedding_model
from .output import amount, tell
from .summarize import ChatModel


def consolidate(
    model: ChatModel,
    embedding: Embedding = "local",
    idle: Annotated[
        float,
        typer.Option(
            min=0.001, metavar="SECONDS", help="Conversations without a write for so long."
        ),
    ] = 1800.0,
    user: Annotated[
        str | None, typer.Option("--user", metavar="ID", help="Those of this user only.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="At most so many conversations.")
    ] = None,
    index: Annotated[
        str, typer.Option("--index", metavar="NAME", help="The index of the long-term memory.")
    ] = "memory",
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Learn facts from conversations that are over, and store them as episodes.

    Exits with 1 where some failed; the next run tries those again.
    """
    asked = chat_model(model)
    with connected(url, timeout, key_prefix) as connection:
        memory = LongTermMemory(
            embedding_model(embedding),
            connection=connection,
            index_name=index,
            key_prefix=key_prefix,
        )
        found = memory.consolidate(model=asked, idle=idle, user_id=user, limit=limit)
    facts = found.facts
    numbers = {
        "conversations": len(found.done),
        "episodes": len(found.episodes),
        "facts_added": len(facts.added),
        "facts_changed": len(facts.changed),
        "facts_ended": len(facts.ended),
        "rejected": len(facts.rejected),
        "unreadable": len(facts.unreadable),
        "busy": len(found.busy),
        "failed": len(found.failed),
    }
    if json:
        output.print_json({**numbers, "errors": dict(found.failed)})
    else:
        tell(
            f"{amount(len(found.done), 'conversation')}: {amount(len(found.episodes), 'episode')}, "
            f"{amount(len(facts.added), 'new fact')}, {len(facts.changed)} changed, "
            f"{len(facts.ended)} ended"
        )
        for session_id, error in found.failed:
            tell(f"{session_id}: {error}", style="red")
    if found.failed:
        raise typer.Exit(1)
