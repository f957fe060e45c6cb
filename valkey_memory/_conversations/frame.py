"""The frame of a script on a conversation: what is true of every write, whatever its body does.

KEYS are the list, all its sidecars, the tokens of its writes and, where a record is kept and both
are on one server, the list of its user's conversations. The frame holds four rules:

- A key that holds a value of another type is refused before anything is changed. It is somebody
  else's, and would get an expiry, or be deleted.
- The keys of a conversation expire together. A write with a TTL restarts it for all of them; one
  without leaves the expiry as it is, and a key that it makes takes it over. So it does not matter
  which of two stores, with a TTL and without one, writes first.
- A write with a token is applied once.
- A write with a record keeps it: who, when, how many messages and tokens.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import product
from string import ascii_uppercase

from .. import _keys
from .._arguments import MAXIMUM
from .._plans import Command
from .._server.failures import REPEATED

# ARGV: the write token or '', the TTL in milliseconds or '', what a record takes (below), the first
# letter of each key's type, and from `at` on the body's arguments. A script stops at its first
# error, but what it did before stays done; hence the types come first. Most conversations have no
# sidecar but the record, and most writes make none: then only the `live` of KEYS are looked at, and
# of these the first commands tell a wrong type before anything is changed. A server without
# memory refuses the first write of a script and no later one, so the token comes after the body: a
# body that changed nothing may do without. Tokens are forgotten many at a time. Lua unpacks at most
# about 8,000 values, so elements are pushed in portions. A list is refilled before its old elements
# are cut off: a server without memory refuses the push, and they stay.
_FRAME = """
local call, token, ttl, kinds, at = redis.call, ARGV[1], ARGV[2], ARGV[%(kinds)s], %(kinds)s + 1
local own = %(own)s
local contents, writes, live, untried = own - 1, KEYS[own], nil, nil
%(live)s
if not live then
  live = {}
  for i = 1, #KEYS do live[i] = i end
end
local function wrong_type(i)
  local found = call('TYPE', KEYS[i]).ok
  if found:byte() == kinds:byte(i) or found == 'none' then return nil end
  local wanted = ({l = 'list', h = 'hash', z = 'zset'})[kinds:sub(i, i)]
  return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. found .. ', no ' .. wanted)
end
local known = token ~= '' and redis.pcall('LPOS', writes, token)
local failed = type(known) == 'table' and known
%(look)s
if token == '' or failed then untried = live end
for _, i in ipairs(untried or live) do
  local wrong = wrong_type(i)
  if wrong then return wrong end
end
if failed then return failed end
if known then return %(repeated)s end
local expires, result = -2, nil
if ttl == '' then
  for i = 1, contents do
    expires = call('PEXPIRETIME', KEYS[i])
    if expires ~= -2 then break end
  end
end
%(body)s
%(record)s
if token ~= '' then
  local remembered = redis.pcall('RPUSH', writes, token)
  if type(remembered) == 'number' and remembered >= %(forget_at)s then
    call('LTRIM', writes, -%(remembered)s, -1)
  end
  %(emptied)s
  if expires == -2 and ttl == '' then call('PERSIST', writes) end
end
if ttl ~= '' then
  for _, i in ipairs(live) do
    if i <= own then call('PEXPIRE', KEYS[i], ttl) end
  end
elseif expires > 0 then
  for _, i in ipairs(live) do
    if i <= own and call('PEXPIRETIME', KEYS[i]) == -1 then
      call('PEXPIREAT', KEYS[i], expires)
    end
  end
end
return result
"""
REMEMBERED = 100
"""So many tokens of the last writes each conversation remembers, at least."""
FORGET_AT = 125
"""Where there are so many tokens, those beyond ``REMEMBERED`` are forgotten."""
_IF_ALONE = """
if call('EXISTS', unpack(KEYS, 2, contents)) == 0 then
  live, untried = {1, own}, {%(list)s}
end
"""
_IF_RECORD_ALONE = """
if call('EXISTS', unpack(KEYS, %(meta)s + 1, contents)) == 0 then
  live, untried = {1, %(meta)s, own, KEYS[own + 1] and own + 1}, {%(list)s}
end
"""
_IF_EMPTIED = """
if call('EXISTS', unpack(KEYS, 1, contents)) == 0 then
  call('PEXPIRE', writes, 60000)
  return result
end
"""

# What a record and a user's list say before the body; a wrong type of theirs is told here, too.
_LOOK = """
local meta, user_list, entries = KEYS[%(meta)s], KEYS[own + 1], nil
local was = redis.pcall('HMGET', meta, 'message_count', 'token_count', 'created_at', 'title')
failed = failed or was.err and was
if user_list then
  entries = redis.pcall('ZCARD', user_list)
  failed = failed or type(entries) == 'table' and entries
end
"""
# Of ARGV, from the third on: the time, user, model, title, how many tokens, the session id where
# the last of KEYS is the user's list, or ''. `counted` is by how much the number of messages
# changed, and false where nothing happened. A record that is made counts what there is, which a
# window may have trimmed. What a foreign program wrote in place of a number is none.
RECORD_ARGUMENTS = 6
_RECORD = """
local counted = %(counts)s
if counted then
  local most = %(most)d
  local function number(text)
    local n = tonumber(text)
    return n and n >= 0 and n < math.huge and math.min(n, most) or 0
  end
  local held = was[1] and math.max(number(was[1]) + counted, 0)
    or math.max(call('LLEN', KEYS[1]) + call('LLEN', KEYS[%(archived)s]), counted)
  local tokens = math.min(number(was[2]) + ARGV[7], most)
  local fields = {'last_active', ARGV[3], 'message_count', held, 'token_count', tokens}
  local others = {
    'created_at', was[3] and '' or ARGV[3], 'user_id', ARGV[4], 'model', ARGV[5],
    'title', was[4] and '' or ARGV[6]
  }
  for i = 1, #others, 2 do
    if others[i + 1] ~= '' then
      fields[#fields + 1], fields[#fields + 2] = others[i], others[i + 1]
    end
  end
  call('HSET', meta, unpack(fields))
  if user_list then
    local first = entries == 0
    %(enter)s
  end
elseif user_list and call('EXISTS', unpack(KEYS, 1, contents)) == 0 then
  call('ZREM', user_list, ARGV[8])
end
"""
# A user's list lives as long as the longest of its conversations; without an end if one has none.
# A write without a TTL may leave one that is there: then the list has none, which does no harm.
ENTER = """
call('ZADD', user_list, ARGV[3], ARGV[8])
if ttl == '' then
  call('PERSIST', user_list)
elseif first then
  call('PEXPIRE', user_list, ttl)
else
  call('PEXPIRE', user_list, ttl, 'GT')
end
"""

# What a script returns that was applied before. One with something to return has lost it.
_NOTHING = "nil"
LOST = f"redis.error_reply('{REPEATED} write: it was applied before')"

PUSH = """
local function push(key, first, last)
  for start = first, last, 4000 do
    call('RPUSH', key, unpack(ARGV, start, math.min(start + 3999, last)))
  end
end
"""
REFILL = """
local function refill(key, first, last)
  push(key, first, last)
  if last < first then
    call('DEL', key)
  else
    call('LTRIM', key, first - last - 1, -1)
  end
end
"""

_recording: dict[str, str] = {}
"""The twin of each script that counts, by its text: the one that keeps a record, too."""


def framed(
    body: str,
    *helpers: str,
    counts: str = "",
    repeated: str = _NOTHING,
    may_empty: bool = False,
    only_list: bool = False,
    tries_list: bool = False,
) -> str:
    """A script of ``body``, which finds its arguments from ``at`` on and leaves a ``result``.

    Args:
        body: The lines between the frame's.
        helpers: The functions that it calls. A script without needless ones runs faster.
        counts: By how much it changed the number of messages, as an expression in Lua; false where
            it changed nothing. A record can be kept of a write that has it.
        repeated: What it returns when it was applied before.
        may_empty: It may leave nothing of the conversation.
        only_list: It changes no key but the list.
        tries_list: Its first command is on the list, and returns ``wrong_type(1)`` if that fails.
    """
    listed = "" if tries_list else "1"
    parts = {
        "body": "".join((*helpers, body)),
        "remembered": REMEMBERED,
        "forget_at": FORGET_AT,
        "emptied": _IF_EMPTIED if may_empty else "",
        "repeated": repeated,
    }
    plain = {
        "kinds": "3",
        "own": "#KEYS",
        "live": _IF_ALONE % {"list": listed} if only_list else "",
        "look": "",
        "record": "",
    }
    text = shortened(_FRAME % {**parts, **plain})
    if counts:
        meta, archived = number_of(_keys.META), number_of(_keys.ARCHIVED)
        recording = {
            "kinds": str(3 + RECORD_ARGUMENTS),
            "own": "#KEYS - (ARGV[8] ~= '' and 1 or 0)",
            "live": _IF_RECORD_ALONE % {"meta": meta, "list": listed} if only_list else "",
            "look": _LOOK % {"meta": meta},
            "record": _RECORD
            % {"counts": counts, "enter": ENTER, "archived": archived, "most": MAXIMUM},
        }
        _recording[text] = shortened(_FRAME % {**parts, **recording})
    return text


_LOCALS = re.compile(r"\blocal (?:function )?(\w+(?:, \w+)*)")
_QUOTED_OR_NAME = re.compile(r"'[^']*'|(?<![.:\w])[a-z_]{3,}\b")  # no field or method


def shortened(text: str) -> str:
    """A script without blanks at the ends of its lines, and with short names for its locals.

    A script is sent and hashed at each call, so a third of its length is a twentieth of a turn.
    """
    text = "\n".join(line for line in map(str.strip, text.splitlines()) if line)
    found = dict.fromkeys(name for names in _LOCALS.findall(text) for name in names.split(", "))
    short = dict(zip((name for name in found if len(name) > 2), _short_names(), strict=False))
    return _QUOTED_OR_NAME.sub(lambda match: short.get(match[0], match[0]), text)


def _short_names() -> Iterator[str]:
    for first in ascii_uppercase:
        yield first
    for first, second in product(ascii_uppercase, ascii_uppercase):
        yield first + second


def number_of(name: str) -> str:
    """The number in KEYS of the sidecar ``name``."""
    return str(2 + list(_keys.SIDECARS).index(name))


def script(
    source: str,
    key: str,
    *arguments: str | bytes,
    ttl_ms: int | None = None,
    token: str | bytes = "",
) -> Command:
    """The command that runs a framed script on the conversation of the list ``key``.

    Args:
        source: From ``framed``.
        key: The list.
        arguments: The body's.
        ttl_ms: The TTL to restart; None leaves the expiry as it is.
        token: It is applied once, however often it arrives with this. Empty: each time.
    """
    keys, types = _keys.keys_and_types(key)
    ttl = "" if ttl_ms is None else str(ttl_ms)
    return "EVAL", source, *keys, token, ttl, types, *arguments


def with_record(command: Command, record: tuple[str, ...], user_list: str | None) -> Command:
    """The command of a ``script`` that counts, which keeps the conversation's record, too.

    Args:
        command: From ``script``.
        record: Time, user, model, title, tokens, session id; each may be empty.
        user_list: The key of the user's conversations, where the server can take both at once.
    """
    parts: list[str | bytes] = list(command)  # faster than a tuple of slices
    parts[1] = _recording[str(command[1])]
    keys = int(command[2])
    at = 5 + keys  # where the types are, after token and TTL
    if user_list is None:
        parts[at:at] = *record[:-1], ""
    else:
        parts[at : at + 1] = *record, f"{command[at]!s}z"
        parts.insert(3 + keys, user_list)
        parts[2] = str(keys + 1)
    return tuple(parts)
