"""``show`` and ``delete``."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer
from rich.padding import Padding
from rich.text import Text

from .. import MessageStore
from .._conversations.summaries import read_field
from .._conversations.tail import Follower, look_plan
from .._keys import list_key
from .._messages.codecs import read_tool_call
from .._messages.content import REASONING, block_type, split_data_url, standard_block
from .._plans import change_plan
from .._server.connection import ValkeyConnection
from . import output
from .app import CliError, Json, KeyPrefix, Timeout, Url, Yes, confirm, connected
from .output import amount, out, say, visible, visible_lines

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session id.")]


@dataclass(frozen=True, slots=True)
class Stored:
    """One element of a list, read as far as it can be."""

    raw: bytes
    message: dict[str, Any] | None
    """The JSON object as it stands; None when it is no message."""
    error: str = ""


def read_stored(raw: bytes) -> Stored:
    """An element, without any change to what is in it."""
    try:
        value = orjson.loads(raw)
    except ValueError as error:
        return Stored(raw, None, f"no JSON: {error}")
    if not isinstance(value, dict):
        return Stored(raw, None, f"a JSON {type(value).__name__}, not an object")
    if not isinstance(value.get("role"), str):
        return Stored(raw, None, 'it has no "role"')
    return Stored(raw, value)


def show(
    session: SessionId,
    last: Annotated[
        int | None,
        typer.Option("--last", "-n", min=1, metavar="N", help="Only the newest so many."),
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print the elements as stored.")] = False,
    archived: Annotated[
        bool, typer.Option("--archived", help="Print the archived messages first.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.05, metavar="SECONDS", help="Between two looks of --follow.")
    ] = 1.0,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Print a conversation, coloured by role."""
    key = list_key(key_prefix, session)
    printer = Printer(raw=raw, json=json)
    with connected(url, timeout, key_prefix) as connection:
        old, elements, length = connection.run(look_plan(key, last, archived=archived))
        text = connection.run(change_plan(read_field(key, "text"))) if not raw else None
        if not (elements or old or text or follow):
            raise CliError(
                f"there is no conversation {session!r} at {key!r}; "
                "valkey-memory sessions lists those that there are"
            )
        for position, element in enumerate(old):
            printer.print(element, position, archived=True)
        if old and not (raw or json):
            say((f"-- {amount(len(old), 'message')} archived, the active ones follow --", "dim"))
        if text:
            printer.print_summary(text)
        printer.print_all(elements, length - len(elements))
        if follow:
            try:
                _follow(connection, Follower(key, elements, length), interval, printer)
            except KeyboardInterrupt:
                out.file.flush()


def _follow(
    connection: ValkeyConnection, follower: Follower, interval: float, printer: Printer
) -> None:
    """Print what is added, until somebody interrupts."""
    while True:
        time.sleep(interval)
        news = connection.run(follower.news_plan())
        if news is None:
            continue
        if news.replaced and not (printer.raw or printer.json):
            say((f"-- the conversation was {'changed' if news.elements else 'deleted'} --", "dim"))
        printer.print_all(news.elements, news.first)


# One message


class Printer:
    """Prints elements the way that was asked for."""

    def __init__(self, *, raw: bool, json: bool) -> None:
        self.raw = raw
        self.json = json

    def print_all(self, elements: Sequence[bytes], first: int) -> None:
        for position, element in enumerate(elements, first):
            self.print(element, position)
        out.file.flush()

    def print_summary(self, text: str) -> None:
        """What stands above the messages and is none of them."""
        if self.json:
            output.print_json({"summary": text})
            return
        say(("summary", output.ROLE_STYLES["system"]), ("  of the messages before", "dim"))
        _print_body(Text(visible_lines(text)))

    def print(self, element: bytes, position: int, *, archived: bool = False) -> None:
        if self.json:
            stored = read_stored(element)
            text = element.decode("utf-8", "backslashreplace")
            output.print_json(
                {
                    "position": position,
                    "archived": archived,
                    "message": stored.message,
                    "error": stored.error or None,
                    "raw": text if self.raw or stored.error else None,
                }
            )
        elif self.raw:
            say(visible(element.decode("utf-8", "backslashreplace")))
        else:
            _print_message(read_stored(element), position, archived=archived)


def _print_message(stored: Stored, position: int, *, archived: bool) -> None:
    message = stored.message
    if message is None:
        say((f"unreadable  #{position}  {visible(stored.error)}", "bold red"))
        body = Text(visible(stored.raw.decode("utf-8", "backslashreplace")))
    else:
        role = message["role"]
        about = [
            str(message[key])
            for key in ("name", "tool_call_id")
            if isinstance(message.get(key), str)
        ]
        when = output.moment(message.get("ts"))
        notes = [*about, when, f"#{position}", *(["archived"] if archived else [])]
        say(
            (visible(role), output.ROLE_STYLES.get(role, "bold blue")),
            ("  " + "  ".join(visible(note) for note in notes if note), "dim"),
        )
        body = Text("\n").join([*_content_lines(message.get("content")), *_call_lines(message)])
    _print_body(body)


def _print_body(body: Text) -> None:
    if not body.plain:
        return
    if out.is_terminal:
        out.print(Padding(body, (0, 0, 0, 2), expand=False))
    else:  # whole lines for grep
        out.print(Text("  ") + Text("\n  ").join(body.split("\n")), soft_wrap=True)


def _content_lines(content: object) -> list[Text]:
    if isinstance(content, str):
        return [Text(visible_lines(content))] if content else []
    if not isinstance(content, list):
        return [] if content is None else [Text(visible(str(content)))]
    return [line for block in content if (line := _block_line(block)) is not None]


def _block_line(block: object) -> Text | None:
    if isinstance(block, dict) and block_type(block) in REASONING:
        return Text(f"[{visible(block_type(block))}]", "dim")
    standard = standard_block(block)
    if standard is None:
        return None
    kind = block_type(standard)
    if kind == "text":
        return Text(visible_lines(str(standard.get("text", ""))))
    return Text(f"[{_placeholder(kind, standard.get(kind))}]", "italic blue")


def _placeholder(kind: str, value: object) -> str:
    """What stands for an image, a sound or a file: its type and size, or where it is."""
    name = {"image_url": "image", "input_audio": "audio"}.get(kind, kind)
    if not isinstance(value, dict):
        return visible(name)
    source = value.get("url") or value.get("file_data") or value.get("file_id") or ""
    data, mime = value.get("data"), f"{name}/{value.get('format', '')}"
    if isinstance(source, str) and (parts := split_data_url(source)):
        mime, data = parts
    about = str(source)
    if isinstance(data, str):
        about = f"{mime}, {output.size(len(data) * 3 // 4)}"
    label = f"{name} {value['filename']}" if value.get("filename") else name
    return visible(f"{label}: {about}" if about else label)


def _call_lines(message: dict[str, Any]) -> list[Text]:
    calls = message.get("tool_calls")
    lines = []
    for call in calls if isinstance(calls, list) else []:
        try:
            call_id, name, arguments = read_tool_call(call)
            shown = f"{name}({arguments})"
        except (TypeError, KeyError, AttributeError):
            call_id, shown = None, orjson.dumps(call).decode()
        lines.append(
            Text.assemble(
                ("-> ", "yellow"), visible(shown), (f"  {visible(str(call_id or ''))}", "dim")
            )
        )
    return lines


def delete(
    session: SessionId,
    yes: Yes = False,
    url: Url = None,
    key_prefix: KeyPrefix = "chat:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """Delete a conversation with its archived messages. Asks."""
    with connected(url, timeout, key_prefix) as connection:
        store = MessageStore(connection=connection, key_prefix=key_prefix)
        messages, archived = store.count_all(session)
        if not messages and not archived:
            raise CliError(f"there is no conversation {session!r} under {key_prefix!r}")
        what = amount(messages, "message") + (f" and {archived:,} archived" if archived else "")
        confirm(f"Delete {session!r} with {what} at {connection.address}?", yes=yes)
        deleted = store.delete(session)
    if json:
        output.print_json(
            {"session_id": session, "deleted": deleted, "messages": messages, "archived": archived}
        )
    else:
        say(f"Deleted {visible(session)} with {what}.")
