"""A person's data in one call each: ``UserData`` as functions, with lines in place of files."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence

from .._server.connection import ValkeyConnection
from .erasure import KeepsOfUsers
from .receipts import Receipt, UserCounts
from .user_data import UserData
from .user_transfer import Existing


def forget_user(
    user_id: str,
    *,
    url: str | None = None,
    connection: ValkeyConnection | None = None,
    key_prefix: str = "chat:",
    indexes: Sequence[str] = ("memory",),
    also: Sequence[KeepsOfUsers] = (),
) -> Receipt:
    """Erase all that is kept of a user: ``UserData(...).forget_user(user_id)``, which says more.

    Args:
        user_id: Whose, exactly.
        url, connection, key_prefix, indexes, also: As in ``UserData``.

    Raises:
        ErasureIncompleteError: Something is left, because it is written anew all the time.
    """
    data = UserData(
        url=url, connection=connection, key_prefix=key_prefix, indexes=indexes, also=also
    )
    return data.forget_user(user_id)


def export_user(
    user_id: str,
    *,
    url: str | None = None,
    connection: ValkeyConnection | None = None,
    key_prefix: str = "chat:",
    indexes: Sequence[str] = ("memory",),
) -> Iterator[bytes]:
    """All that is kept of a user, as lines of JSON, each with its line break.

    They are those of the file that ``UserData.export_user`` writes, and are in a temporary file
    meanwhile. Nothing is read before the first line is asked for.

    Args:
        user_id: Whose, exactly.
        url, connection, key_prefix, indexes: As in ``UserData``.
    """
    data = UserData(url=url, connection=connection, key_prefix=key_prefix, indexes=indexes)
    with tempfile.TemporaryFile() as file:
        data.export_user(user_id, file)
        file.seek(0)
        yield from file


def import_user(
    lines: Iterable[bytes],
    *,
    user_id: str | None = None,
    existing: Existing = "refuse",
    url: str | None = None,
    connection: ValkeyConnection | None = None,
    key_prefix: str = "chat:",
) -> UserCounts:
    """Write back what ``export_user`` gave: ``UserData(...).import_user``, which says more.

    Args:
        lines: Of ``export_user``, all of them.
        user_id: Whose it must be; by default it may be anybody's.
        existing: ``"refuse"`` writes nothing where any of it exists; ``"replace"`` replaces it.
        url, connection, key_prefix: As in ``UserData``.

    Raises:
        ExportFileError: The lines are damaged, or not all of them, or of another user.
        InvalidArgumentError: Something exists, or is another user's by now.
    """
    data = UserData(url=url, connection=connection, key_prefix=key_prefix)
    with tempfile.TemporaryFile() as file:
        file.writelines(lines)
        file.seek(0)
        return data.import_user(file, user_id=user_id, existing=existing)
