"""The app, the options that all commands share, and how errors end it.

Exit status: 0 all right, 1 failed or found problems, 2 used in a way that cannot work.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from .._errors import ConfigurationError, FilterError, InvalidArgumentError, ValkeyMemoryError
from .._keys import check_prefix
from .._secrets import hide_url
from .._server.connection import ValkeyConnection
from . import output

FAILED, USAGE = 1, 2
_SERVER = "Server"  # a panel of the help

Url = Annotated[
    str | None,
    typer.Option(
        envvar="VALKEY_URL",
        metavar="URL",
        parser=hide_url,
        rich_help_panel=_SERVER,
        show_default="valkey://localhost:6379",
        help="The server: valkey://, valkeys:// (TLS), redis://, rediss:// or embedded:///dir.",
    ),
]
KeyPrefix = Annotated[
    str,
    typer.Option(
        metavar="TEXT",
        rich_help_panel=_SERVER,
        help="What the keys of conversations begin with.",
    ),
]
Timeout = Annotated[
    float,
    typer.Option(
        min=0.001,
        metavar="SECONDS",
        rich_help_panel=_SERVER,
        help="How long one request may take.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, and nothing else, to stdout.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

MemoryIndexes = Annotated[
    list[str] | None,
    typer.Option(
        "--memory-index",
        metavar="NAME",
        show_default="memory",
        help="An index with the user's memories. May be given more than once.",
    ),
]


class CliError(ValkeyMemoryError):
    """The command cannot go on; the text says why and what to do."""


class _Group(TyperGroup):
    """Turns the library's errors into one line on stderr and an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValkeyMemoryError as error:
            fail(str(error), status(error))


def status(error: ValkeyMemoryError) -> int:
    """The exit status that stands for ``error``."""
    wrong_use = isinstance(error, (ConfigurationError, InvalidArgumentError, FilterError))
    return USAGE if wrong_use else FAILED


def fail(message: str, code: int = FAILED) -> NoReturn:
    """Say why on stderr and end with ``code``."""
    output.tell(f"valkey-memory: {' '.join(message.split())}", style="red")
    raise typer.Exit(code)


app = typer.Typer(
    cls=_Group,
    help="Look into the conversations and the semantic memory that are kept in Valkey.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def own_version() -> str:
    """The version of this library, where it is installed."""
    try:
        return version("valkey-glide-memory")
    except PackageNotFoundError:
        return "0 (a source tree that is not installed)"


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(own_version())
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print the version."),
    ] = False,
) -> None:
    pass


@contextmanager
def connected(url: str | None, timeout: float, key_prefix: str = "") -> Iterator[ValkeyConnection]:
    """A connection for one command, after its options were checked."""
    check_prefix(key_prefix)
    with ValkeyConnection.from_url(
        url, request_timeout=timeout, client_name="valkey-memory-cli"
    ) as connection:
        yield connection


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is destroyed; end when the answer is no, or when nobody can answer."""
    if yes:
        return
    # Not input(), which may write to stdout.
    sys.stderr.write(f"{output.visible(question)} [y/N]: ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    if answer.strip().lower() not in ("y", "yes"):
        fail("nothing was changed; --yes goes on without asking")
