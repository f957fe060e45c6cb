"""``sessions``: all conversations, or those of a user."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from itertools import chain, islice
from typing import Annotated

import typer

from .. import Session, SessionStore
from .._server.connection import ValkeyConnection
from . import output
from .app import Json, KeyPrefix, Timeout, Url, connected
from .output import amount, say, visible
from .walking import conversation_pages

_PAGE = 100


def sessions(
    begins: Annotated[
        str, typer.Argument(metavar="[BEGINNING]", help="Only session ids that begin so.")
    ] = "",
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Stop after so many; 0 is all.")
    ] = 0,
    user: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Those of a user, the last active first."),
    ] = None,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """List conversations with the number of messages and the time they have left.

    Prints while it walks the keyspace, so only each page of it is sorted. With --user it walks
    nothing: stores that are given a user_id keep a list of the user's conversations.
    """
    if user is not None:
        with connected(url, timeout, key_prefix) as connection:
            _print_of_user(user, _of_user(connection, key_prefix, user, begins, limit), json=json)
        return
    with connected(url, timeout, key_prefix) as connection:
        found = chain.from_iterable(conversation_pages(connection, key_prefix, begins))
        number = messages = 0
        for one in islice(found, limit or None):
            number += 1
            messages += one.messages
            if json:
                output.print_json(
                    {
                        "session_id": one.id,
                        "messages": one.messages,
                        "archived": one.archived,
                        "ttl_seconds": one.ttl,
                    }
                )
                continue
            if number == 1:
                say(("MESSAGES  ARCHIVED  EXPIRES IN  SESSION", "bold"))
            say(
                (f"{one.messages:>8,}", "cyan"),
                f"  {one.archived or '-':>8}  ",
                (f"{output.duration(one.ttl):>10}", "" if one.ttl_ms is not None else "dim"),
                f"  {visible(one.id)}",
            )
    if json:
        return
    if not number:
        under = f"{key_prefix}{begins}"
        output.tell(f"No conversation under {under!r}. Is --key-prefix right?")
    else:
        output.tell(
            f"{amount(number, 'conversation')} with {amount(messages, 'message')}", style="dim"
        )


def _of_user(
    connection: ValkeyConnection, key_prefix: str, user: str, begins: str, limit: int
) -> Iterator[Session]:
    """The sessions of ``user`` whose ids begin with ``begins``, at most ``limit`` unless 0."""
    store = SessionStore(connection=connection, key_prefix=key_prefix)

    def pages() -> Iterator[list[Session]]:
        before = None
        while page := store.of_user(user, _PAGE, before):
            yield page
            before = page[-1]

    found = (one for one in chain.from_iterable(pages()) if one.session_id.startswith(begins))
    return islice(found, limit or None)


def _print_of_user(user: str, found: Iterator[Session], *, json: bool) -> None:
    number = 0
    for number, one in enumerate(found, 1):
        if json:
            output.print_json(asdict(one))
            continue
        if number == 1:
            say(("LAST ACTIVE          MESSAGES    TOKENS  SESSION", "bold"))
        when = output.moment((one.last_active or 0) * 1000) if one.last_active else "-"
        title = f"  {visible(one.title)}" if one.title else ""
        model = f"  {visible(one.model)}" if one.model else ""
        say(
            f"{when:<19}  ",
            (f"{one.message_count:>8,}", "cyan"),
            f"  {one.token_count:>8,}  {visible(one.session_id)}",
            (title, "italic"),
            (model, "dim"),
        )
    if json:
        return
    if number:
        output.tell(f"{amount(number, 'conversation')} of {user!r}", style="dim")
    else:
        output.tell(
            f"No conversation of {user!r}. Only stores that are given a user_id keep track of "
            "users; is --key-prefix right?"
        )
