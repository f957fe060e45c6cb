"""``demo``: a conversation in a private server, kept, read back, and shown as it is stored."""

from __future__ import annotations

from .. import MessageStore
from .._conversations.tail import look_plan
from .._keys import list_key
from .._server.embedded import EmbeddedValkey
from . import output
from .app import Json, connected
from .conversations import Printer
from .output import duration, say, visible

SESSION, TTL, WINDOW = "alice-1", 3600, 4
SAID = (
    ("user", "Hello, I am Alice. Our shop runs on Valkey in two regions."),
    ("assistant", "Hello Alice. Noted: two regions."),
    ("user", "How do I deploy my service?"),
    ("assistant", "With ECS and a blue-green strategy."),
    ("user", "In how many regions does our shop run?"),
    ("assistant", "In two."),
)


def demo(json: Json = False) -> None:
    """Keep a conversation in a private valkey-server and show what is stored.

    The server is temporary and stops at the end. Needs the extra "embedded".
    """
    with EmbeddedValkey() as server:
        with connected(server.url, 5.0) as writer:
            store = MessageStore(connection=writer, ttl=TTL, max_messages=WINDOW)
            for role, content in SAID:
                store.append(SESSION, {"role": role, "content": content})
        # Another connection, as another process would have.
        with connected(server.url, 5.0) as connection:
            reader = MessageStore(connection=connection)
            key = list_key("chat:", SESSION)
            elements = connection.run(look_plan(key)).active
            ttl = reader.ttl_left(SESSION)
            last = reader.messages(SESSION, last=2)
        if json:
            output.print_json(
                {
                    "session_id": SESSION,
                    "key": key,
                    "added": len(SAID),
                    "kept": len(elements),
                    "ttl_seconds": ttl,
                    "last_messages": last,
                    "elements": [element.decode() for element in elements],
                }
            )
            return
        say(f"A temporary valkey-server runs at {server.url}.")
        _chapter(f"MessageStore(ttl={TTL}, max_messages={WINDOW}): {len(SAID)} messages are added")
        for role, content in SAID:
            say("  ", (f"{role:>9}", output.ROLE_STYLES[role]), "  ", content)
        _chapter("Read back over another connection")
        Printer(raw=False, json=False).print_all(elements, 0)
        _chapter("Window and TTL")
        say(f"  window   {len(SAID)} messages were added, the newest {len(elements)} are kept")
        say(f"  TTL      {duration(ttl)} of {TTL} seconds left; each write starts it again")
        say(f"  a prompt needs store.messages({SESSION!r}, last=2):")
        for message in last:
            say(f"           {dict(message)}")
        _chapter(f"What is in Valkey: LRANGE {key} 0 -1")
        for element in elements:
            say("  " + visible(element.decode()))
    say()
    say("The server is stopped. Your own: valkey-memory sessions --url valkey://host")


def _chapter(title: str) -> None:
    say()
    say((title, "bold"))
