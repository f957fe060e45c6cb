"""The app with all its commands, in the order in which the help lists them."""

from __future__ import annotations

from . import _conversations, _demo, _doctor, _search, _stats, _transfer
from ._app import app

app.command("sessions")(_conversations.sessions)
app.command("show")(_conversations.show)
app.command("search")(_search.search)
app.command("stats")(_stats.stats)
app.command("doctor")(_doctor.doctor)
app.command("export")(_transfer.export)
app.command("import")(_transfer.import_)
app.command("delete")(_conversations.delete)
app.command("demo")(_demo.demo)

__all__ = ["app"]
