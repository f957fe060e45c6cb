"""``summarize``: makes the summary of a conversation."""

from __future__ import annotations

from typing import Annotated

import typer

from .. import MessageStore, Summary
from . import output
from .app import CliError, Json, KeyPrefix, Timeout, Url, connected
from .conversations import SessionId
from .models import chat_model
from .output import amount, say, visible_lines

ChatModel = Annotated[
    str,
    typer.Option(
        "--model",
        metavar="MODEL",
        help="The chat model: bedrock:MODEL_ID, or module:attribute for a chat model of LangChain, "
        "an LLM of LlamaIndex, or a function from a prompt to a text.",
    ),
]


def summarize(
    session: SessionId,
    model: ChatModel,
    keep_last: Annotated[
        int, typer.Option(min=0, metavar="N", help="About how many of the newest messages stay.")
    ] = 6,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="How long the summary may be.")
    ] = None,
    delete: Annotated[
        bool, typer.Option("--delete", help="Delete what was summarised; else it is archived.")
    ] = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Fold all but the newest messages into the conversation's summary, and print it."""
    summary = Summary(
        chat_model(model),
        keep_last=keep_last,
        when_over=keep_last,
        max_tokens=max_tokens,
        archive=not delete,
    )
    with connected(url, timeout, key_prefix) as connection:
        store = MessageStore(connection=connection, key_prefix=key_prefix, summary=summary)
        before = store.count(session)
        if not before and store.summary(session) is None:
            raise CliError(f"there is no conversation {session!r} under {key_prefix!r}")
        try:
            done = store.summarize_now(session)
        except Exception as error:
            raise CliError(f"the model failed: {type(error).__name__}: {error}") from error
        text, number = store.summary(session), before - store.count(session)
    if json:
        output.print_json({"session_id": session, "summarised": number, "summary": text})
        return
    if text:
        say(visible_lines(text))
    what = f"{amount(number, 'message')} summarised" if done else "Nothing to summarise"
    output.tell(what, style="dim")
