"""The app with all its commands, in the order in which the help lists them."""

from __future__ import annotations

from . import (
    consolidate,
    conversations,
    demo,
    doctor,
    runs,
    search,
    sessions,
    stats,
    summarize,
    transfer,
    users,
)
from .app import app

app.command("sessions")(sessions.sessions)
app.command("show")(conversations.show)
app.command("summarize")(summarize.summarize)
app.command("consolidate")(consolidate.consolidate)
app.command("runs")(runs.runs)
app.command("search")(search.search)
app.command("stats")(stats.stats)
app.command("doctor")(doctor.doctor)
app.command("export")(transfer.export)
app.command("import")(transfer.import_)
app.command("delete")(conversations.delete)
app.command("forget")(users.forget)
app.command("demo")(demo.demo)

__all__ = ["app"]
