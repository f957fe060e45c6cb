"""``runs``: what agents did, as their logs have it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.text import Text

from .. import RunEvent, RunLog
from .._messages.values import dumps, to_json, with_tagged_text
from . import output
from .app import CliError, Json, Timeout, Url, connected
from .output import amount, out, say, visible

_STATES = {"ended": "green", "failed": "red", "running": "yellow"}

KeyPrefix = Annotated[
    str,
    typer.Option(
        metavar="TEXT", rich_help_panel="Server", help="What the keys of runs begin with."
    ),
]


def runs(
    run: Annotated[
        str | None, typer.Argument(metavar="RUN", help="The run whose log to print.")
    ] = None,
    limit: Annotated[
        int, typer.Option("--limit", "-n", min=1, metavar="N", help="At most so many runs.")
    ] = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Wait for more, until the run ends.")
    ] = False,
    interval: Annotated[
        float, typer.Option(min=0.05, metavar="SECONDS", help="Between two looks of --follow.")
    ] = 0.5,
    url: Url = None,
    key_prefix: KeyPrefix = "agent:log:",
    timeout: Timeout = 5.0,
    json: Json = False,
) -> None:
    """List the runs of agents that were active last, or print the log of one."""
    if follow and run is None:
        raise typer.BadParameter("--follow needs a RUN")
    with connected(url, timeout, key_prefix) as connection:
        log = RunLog(connection=connection, key_prefix=key_prefix)
        if run is None:
            _list(log, key_prefix, limit, json=json)
        elif follow:
            try:
                for event in log.follow(run, interval=interval):
                    _print(event, json=json)
                    out.file.flush()
            except KeyboardInterrupt:
                out.file.flush()
        else:
            events = log.read(run)
            if not events:
                raise CliError(
                    f"there is no log of a run {run!r} under {key_prefix!r}; "
                    "valkey-memory runs lists those that there are"
                )
            for event in events:
                _print(event, json=json)


def _list(log: RunLog, key_prefix: str, limit: int, *, json: bool) -> None:
    found = log.runs(limit)
    if json:
        for one in found:
            output.print_json(asdict(one))
        return
    if not found:
        output.tell(f"No run under {key_prefix!r}. Is --key-prefix right?")
        return
    say(("LAST ACTIVE          STATE    EVENTS  RUN", "bold"))
    for one in found:
        say(
            f"{output.moment(one.last_active * 1000):<19}  ",
            (f"{one.state:<7}", _STATES[one.state]),
            f"  {one.events:>6,}  {visible(one.run_id)}",
            (f"  {visible(one.name)}" if one.name else "", "italic"),
        )
    output.tell(amount(len(found), "run"), style="dim")


# One event


def _print(event: RunEvent, *, json: bool) -> None:
    if json:
        details = with_tagged_text(to_json(dict(event.details), "details"))
        output.print_json({**asdict(event), "details": details})
        return
    left = dict(event.details)
    name = left.pop("name", None)
    seconds = left.pop("seconds", None)
    line = Text.assemble(
        (f"{output.moment(event.ts * 1000)}  ", "dim"),
        (f"{visible(event.action):<15}", _style(event.action)),
        f"  {visible(str(name))}" if name else "",
        (f"  {seconds:g} s" if isinstance(seconds, int | float) else "", "cyan"),
    )
    line.rstrip()
    out.print(line, soft_wrap=True)
    for key, value in left.items():
        say((f"  {visible(key)}: ", "dim"), visible(_text(value)))


def _style(action: str) -> str:
    if action.endswith("_error"):
        return "bold red"
    return "bold" if action.startswith("run_") else "yellow" if action.startswith("tool_") else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dumps(value, "details").decode()
