"""``advice()``: what a program should hear at its start of the server and of its memory."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TypeVar

from .._errors import PermissionDeniedError
from .._plans import Plan
from .._server.nodes import nodes_plan
from .._vectors.discovery import commands_plan, exact_index_plan, index_plan
from .._vectors.engine import Mode, misfit_plan
from .._vectors.plans import IndexPlans
from .._vectors.text_index import TextIndex
from .checks import advise
from .findings import Facts, Finding, MemoryIndex
from .waiting import waiting_plan

_log = logging.getLogger("valkey_memory")

T = TypeVar("T")


class Advising:
    """The part of ``LongTermMemory`` that looks for what goes wrong later."""

    _texts: TextIndex
    _key_prefix: str
    _told: dict[str, object]

    def advice(self) -> tuple[Finding, ...]:
        """What is wrong or risky, why, and what to do about it; nothing where all is well.

        An eviction policy that throws memory away, persistence that is off, a search module that is
        missing or too old, a server that is too old, an index that does not match this memory or
        misses documents, exact search near its limit; and, where facts are extracted, conversations
        that have waited for that for more than a day. What the server does not tell, because the
        user lacks the permission, is no finding.

        Each kind, ``check``, is logged once per object, as a warning of ``valkey_memory``; later
        calls only return it. It changes nothing on the server, and makes no index.

        Examples:
            >>> from valkey_memory import LocalEmbedding, LongTermMemory
            >>> memory = LongTermMemory(LocalEmbedding(), url="embedded://", search="exact")
            >>> for finding in memory.advice():
            ...     print(finding.level, finding.check, "-", finding.what)
            warning persistence - persistence is off

        Raises:
            ConnectionFailedError, OperationTimeoutError: The server cannot be asked.

        Round trips: six; with exact search, or where the server has no index of that name, a walk
        over the keys of the server instead of the last three. Where facts are extracted, up to 100
        pages of keys, too, and two for each 250 of the first 1,000 conversations.
        """
        return self._tell(self._texts.index.run(advice_plan(*self._asked())))

    async def aadvice(self) -> tuple[Finding, ...]:
        """Async ``advice``."""
        return self._tell(await self._texts.index.arun(advice_plan(*self._asked())))

    def _asked(self) -> tuple[IndexPlans, str]:
        return self._texts.index.plans, self._key_prefix

    def _tell(self, findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
        this_call = object()
        for one in findings:
            # Of threads that ask at the same time, one logs: setdefault is atomic.
            if self._told.setdefault(one.check, this_call) is this_call:
                _log.warning("%s: %s. %s %s", one.check, one.what, one.cause, one.fix)
        return findings


def advice_plan(plans: IndexPlans, key_prefix: str) -> Plan[tuple[Finding, ...]]:
    """The findings that are not ok, of the memory that ``plans`` serve."""
    facts = yield from server_facts_plan()
    schema, search, exact_limit = plans.schema, plans.search, plans.exact_limit
    mode: Mode = "exact" if search == "exact" or not facts.search_commands else "server"
    name = schema.name
    look = index_plan(name) if mode == "server" else exact_index_plan(name)
    found = yield from permitted_plan(look)
    misfit = yield from permitted_plan(misfit_plan(schema, mode, exact_limit))
    waiting = yield from permitted_plan(waiting_plan(found, key_prefix))
    in_no_index = found.documents if found is not None and found.search == "exact" else 0
    return advise(
        replace(
            facts,
            indexes=() if found is None else (found,),
            memory=MemoryIndex(name, search, exact_limit, misfit or "", in_no_index),
            waiting=waiting,
        )
    )


def server_facts_plan() -> Plan[Facts]:
    """What the server says of itself. Three round trips."""
    nodes = yield from nodes_plan()
    commands = yield from commands_plan()
    return Facts(
        cluster=any(node.cluster for node in nodes),
        nodes=nodes,
        search_commands=commands.search,
        json_commands=commands.json,
        listed=commands.indexes,
    )


def permitted_plan(plan: Plan[T]) -> Plan[T | None]:
    """What ``plan`` finds; None, which stands for unknown, where the user may not ask that."""
    try:
        return (yield from plan)
    except PermissionDeniedError as error:
        _log.debug("not known: %s", error)
        return None
