"""What is judged of a server: one pure function per check, from the facts to findings.

A fact that the server would not tell is None, and is called unknown, not wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

from .._errors import (
    AuthenticationError,
    ConfigurationError,
    OperationTimeoutError,
    PermissionDeniedError,
)
from .._server.nodes import Node
from .findings import Facts, Finding, Version, dotted, module_version, version
from .stored_checks import check_indexes, check_memory, check_ttls, check_waiting
from .wording import amount, size

OLDEST_SERVER: Version = (7, 2)
OLDEST_SEARCH: Version = (1, 2)
HANGS_BEFORE: Version = (9, 1, 2)
"""Valkey 9.0.0 to 9.1.1 can hang on indexed writes in a pipeline (a bug of the server)."""


def check_wheels(facts: Facts) -> Iterator[Finding]:
    """GLIDE's two wheels share a package, so they must have one version."""
    missing = [wheel for wheel, installed in facts.wheels.items() if installed is None]
    known = {wheel: installed for wheel, installed in facts.wheels.items() if installed}
    if missing:
        yield Finding(
            "glide",
            "problem",
            f"{' and '.join(missing)} is not installed",
            "Valkey GLIDE comes in two wheels, for sync and for async, and both are needed.",
            f"pip install --force-reinstall {' '.join(facts.wheels)}",
        )
    elif len(set(known.values())) > 1:
        newest = max(known.values(), key=version)
        yield Finding(
            "glide",
            "problem",
            " and ".join(f"{wheel} {installed}" for wheel, installed in known.items())
            + " do not work together",
            "Both wheels install the package glide_shared; of two versions one half is wrong.",
            "pip install --force-reinstall " + " ".join(f"{wheel}=={newest}" for wheel in known),
        )
    else:
        yield Finding("glide", "ok", f"GLIDE {next(iter(known.values()), '')}, both wheels")


def check_connection(facts: Facts) -> Iterator[Finding]:
    """The server answers, and lets us in."""
    failure = facts.failure
    if failure is None:
        what = f"a cluster of {amount(len(facts.nodes), 'primary', 'primaries')}"
        yield Finding(
            "connection",
            "ok",
            f"{facts.address} answers" + (f", {what}" if facts.cluster else ""),
        )
        return
    text = str(failure)
    if isinstance(failure, AuthenticationError):
        what = f"{facts.address} refuses user or password"
        fix = (
            "Give the right ones: valkey://user:password@host, special characters "
            "percent-encoded. The default user has no name: valkey://:password@host."
        )
    elif isinstance(failure, PermissionDeniedError):
        what = f"{facts.address} refuses what this user needs"
        fix = "Give it the permission: ACL SETUSER name +info. GLIDE sends INFO when it connects."
    elif isinstance(failure, ConfigurationError):
        what = "the connection cannot be made"
        fix = "Do as the cause says."
    elif isinstance(failure, OperationTimeoutError):
        what = f"{facts.address} does not answer in time"
        fix = "See whether the server is busy or hangs; a slow network needs a larger --timeout."
    else:
        what = f"{facts.address} cannot be reached"
        fix = (
            "Start the server, or give --url (or VALKEY_URL) its address. With TLS the scheme is "
            "valkeys://. ElastiCache can be reached from inside its VPC only."
        )
    yield Finding("connection", "problem", what, text, fix)


def check_server(facts: Facts) -> Iterator[Finding]:
    """The server is new enough, and not one that hangs."""
    told = {node.version: node for node in facts.nodes if node.version}
    if not told:
        yield Finding("server", "ok", "version unknown: the server does not tell it")
    for text, node in told.items():
        numbers = version(text)
        if node.name != "valkey":
            yield Finding(
                "server",
                "warning",
                f"{node.name} {text}, not Valkey",
                "Tested is Valkey; other servers may lack commands or reply in other ways.",
                "Use Valkey 7.2 or later.",
            )
        elif numbers < OLDEST_SERVER:
            yield Finding(
                "server",
                "problem",
                f"Valkey {text} is too old",
                f"The commands that are sent are those of Valkey {dotted(OLDEST_SERVER)}.",
                f"Use Valkey {dotted(OLDEST_SERVER)} or later.",
            )
        elif (9, 0) <= numbers < HANGS_BEFORE and facts.search_commands:
            yield Finding(
                "server",
                "warning",
                f"Valkey {text} can hang while it indexes",
                "Valkey 9.0.0 to 9.1.1 can hang on indexed writes that come in a pipeline. This "
                "library sends none; other programs may.",
                f"Use Valkey {dotted(HANGS_BEFORE)} or later.",
            )
        else:
            yield Finding("server", "ok", f"Valkey {text}")


def check_search(facts: Facts) -> Iterator[Finding]:
    """valkey-search is there, and new enough, for whoever wants it."""
    wanted = "auto" if facts.memory is None else facts.memory.search
    if wanted == "exact" or (wanted == "server" and not facts.search_commands):
        return  # nobody misses it; or ``check_memory`` says that nothing works without it
    if facts.search_commands is False:
        yield Finding(
            "search",
            "warning",
            "no search module",
            "The server has no FT commands, so vectors are compared in the client, which is meant "
            "for up to 20,000 documents. Conversations do not need it.",
            "For larger memories load valkey-search (the container image valkey/valkey-bundle has "
            'it), or use a managed service with search; else pass search="exact".',
        )
        return
    yield from _judge_search(facts.nodes)


def _judge_search(nodes: Sequence[Node]) -> Iterator[Finding]:
    modules = [node.modules for node in nodes if node.modules is not None]
    versions = {module_version(each["search"]) for each in modules if "search" in each}
    if not versions:
        yield Finding("search", "ok", "search commands, version unknown")
        return
    oldest = min(versions)
    if oldest < OLDEST_SEARCH:
        yield Finding(
            "search",
            "problem",
            f"valkey-search {dotted(oldest)} is too old",
            "Before 1.2 an index has no text fields and no sorting, and searches differ.",
            f"Use valkey-search {dotted(OLDEST_SEARCH)} or later, as in the container image "
            'valkey/valkey-bundle; until then pass search="exact".',
        )
    elif len(versions) > 1 or any("search" not in each for each in modules):
        yield Finding(
            "search",
            "problem",
            "the nodes differ in valkey-search",
            "Of the nodes, some have "
            + ", ".join(f"valkey-search {dotted(one)}" for one in sorted(versions))
            + ("" if all("search" in each for each in modules) else ", some have none")
            + ".",
            "Load the same module on every node.",
        )
    else:
        yield Finding("search", "ok", f"valkey-search {dotted(oldest)}")


def check_json(facts: Facts) -> Iterator[Finding]:
    """JSON documents are possible where searches are."""
    if facts.search_commands and facts.json_commands is False:
        yield Finding(
            "json",
            "warning",
            "no JSON module",
            'The server has no JSON commands, which indexes with storage="json" need; that is the '
            "default.",
            'Pass storage="hash", or load valkey-json (the container image valkey/valkey-bundle '
            "has it).",
        )
    elif facts.json_commands:
        known = [node.modules for node in facts.nodes if node.modules is not None]
        modules = [each["json"] for each in known if "json" in each]
        shown = (
            f"valkey-json {dotted(module_version(min(modules)))}" if modules else "JSON commands"
        )
        yield Finding("json", "ok", shown)


def check_eviction(facts: Facts) -> Iterator[Finding]:
    """The server does not throw conversations away when its memory is full."""
    policies: dict[str, list[Node]] = {}
    for node in facts.nodes:
        if node.maxmemory_policy:
            policies.setdefault(node.maxmemory_policy, []).append(node)
    if not policies:
        yield Finding("eviction", "ok", "eviction policy unknown: the server does not tell it")
    for policy, nodes in policies.items():
        limited = [node for node in nodes if node.maxmemory]
        evicted = sum(node.evicted_keys or 0 for node in nodes)
        when = (
            f"At {size(limited[0].maxmemory)} (maxmemory)"
            if limited
            else "There is no limit yet (maxmemory 0); once there is one and it is reached,"
        )
        so_far = f" {amount(evicted, 'key')} went that way since the start." if evicted else ""
        fix = (
            "CONFIG SET maxmemory-policy noeviction, and the same in valkey.conf or in the "
            "parameter group of a managed service; give the server enough maxmemory, and "
            "conversations a TTL."
        )
        if policy.startswith("allkeys"):
            yield Finding(
                "eviction",
                "problem",
                f"maxmemory-policy {policy} throws memory away",
                f"{when} the server deletes whole conversations and documents, with a TTL or "
                f"without, and says nothing.{so_far}",
                fix,
            )
        elif policy.startswith("volatile") and limited:
            yield Finding(
                "eviction",
                "warning",
                f"maxmemory-policy {policy} ends conversations early",
                f"{when} the server deletes keys that have a TTL before their time.{so_far}",
                fix,
            )
        else:
            yield Finding("eviction", "ok", f"maxmemory-policy {policy}")
    for node in facts.nodes:
        used, limit = node.used_memory, node.maxmemory
        if used and limit and used > 0.9 * limit:
            yield Finding(
                "eviction",
                "warning",
                f"{node.address} is nearly full",
                f"{size(used)} of {size(limit)} (maxmemory) are used. Beyond that the server "
                "evicts keys, or refuses writes with noeviction.",
                "Raise maxmemory, or give conversations a TTL and a window.",
            )


def check_persistence(facts: Facts) -> Iterator[Finding]:
    """What is remembered survives a restart of the server."""
    if not any(node.aof is not None for node in facts.nodes):
        yield Finding("persistence", "ok", "persistence unknown: the server does not tell it")
        return
    off = [node for node in facts.nodes if node.aof is False and node.save == ""]
    unknown = [node for node in facts.nodes if not node.aof and node.save is None]
    for node in facts.nodes:
        if node.failed_write:
            yield Finding(
                "persistence",
                "problem",
                f"{node.address} cannot write its {node.failed_write}",
                "The last write to disk failed; what came since is lost when the server stops.",
                "Look at the server's log: the disk may be full or read-only.",
            )
    if off:
        yield Finding(
            "persistence",
            "warning",
            "persistence is off",
            'appendonly is "no" and save is "": a restart of the server forgets everything.',
            "CONFIG SET appendonly yes, and the same in valkey.conf; unless losing it is fine.",
        )
    elif unknown:
        yield Finding(
            "persistence",
            "ok",
            "persistence unknown: CONFIG is not permitted, as on managed services, where backups "
            "or durability are settings of the service",
        )
    else:
        aof = all(node.aof for node in facts.nodes)
        saves = next((node.save for node in facts.nodes if node.save), "")
        yield Finding(
            "persistence", "ok", "append-only file" if aof else f"snapshots (save {saves})"
        )


Check: TypeAlias = Callable[[Facts], Iterator[Finding]]

OFFLINE: tuple[Check, ...] = (check_wheels, check_connection)
"""Those that make sense without an answer of the server."""

ONLINE: tuple[Check, ...] = (
    check_server,
    check_search,
    check_json,
    check_eviction,
    check_persistence,
    check_ttls,
    check_indexes,
    check_waiting,
)

ADVICE: tuple[Check, ...] = (
    check_server,
    check_search,
    check_eviction,
    check_persistence,
    check_indexes,
    check_memory,
    check_waiting,
)
"""Those that concern a ``LongTermMemory``."""


def diagnose(facts: Facts) -> list[Finding]:
    """Every check that these facts allow, in order."""
    checks = OFFLINE if facts.failure is not None else OFFLINE + ONLINE
    return [finding for check in checks for finding in check(facts)]


def advise(facts: Facts) -> tuple[Finding, ...]:
    """What is not ok for a ``LongTermMemory``."""
    found = (finding for check in ADVICE for finding in check(facts))
    return tuple(finding for finding in found if finding.level != "ok")
