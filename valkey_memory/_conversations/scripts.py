"""Scripts on a conversation: a frame with what is true of every write, and a body for each.

KEYS are the list and all its sidecars. The frame holds three rules:

- A key that holds a value of another type is refused before anything is changed. It is somebody
  else's, and would get an expiry, or be deleted.
- The keys of a conversation expire together. A write with a TTL restarts it for all of them; one
  without leaves the expiry as it is, and a key that it makes takes it over. So it does not matter
  which of two stores, with a TTL and without one, writes first.
"""

from __future__ import annotations

from .. import _keys
from .._plans import Command
from .._server.failures import REPEATED

# ARGV: the write token or '', the TTL in milliseconds or '', the type of each key, and from `at` on
# the body's arguments. A script stops at its first error, but what it did before stays done; hence
# the types come first. A server without memory refuses the first write of a script and no later
# one, so the token comes after the body: a body that changed nothing may do without. Lua unpacks at
# most about 8,000 values, so elements are pushed in portions. A list is refilled before its old
# elements are cut off: a server without memory refuses the push, and they stay.
_FRAME = """
local at = #KEYS + 3
for i, key in ipairs(KEYS) do
  local found = redis.call('TYPE', key).ok
  if found ~= ARGV[i + 2] and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. key .. ' is a ' .. found .. ', no ' .. ARGV[i + 2])
  end
end
local token, ttl, contents, writes = ARGV[1], ARGV[2], #KEYS - 1, KEYS[#KEYS]
if token ~= '' and redis.call('LPOS', writes, token) then return %(repeated)s end
local expires, result = -2, nil
if ttl == '' then
  for i = 1, contents do
    expires = redis.call('PEXPIRETIME', KEYS[i])
    if expires ~= -2 then break end
  end
end
%(body)s
if token ~= '' then
  local remembered = redis.pcall('RPUSH', writes, token)
  if type(remembered) == 'number' and remembered > %(remembered)s then
    redis.call('LPOP', writes)
  end
  %(emptied)s
  if expires == -2 and ttl == '' then redis.call('PERSIST', writes) end
end
if ttl ~= '' then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, ttl) end
elseif expires > 0 then
  for _, key in ipairs(KEYS) do
    if redis.call('PEXPIRETIME', key) == -1 then redis.call('PEXPIREAT', key, expires) end
  end
end
return result
"""
REMEMBERED = 100
"""So many tokens of the last writes each conversation remembers."""
_IF_EMPTIED = """
if redis.call('EXISTS', unpack(KEYS, 1, contents)) == 0 then
  redis.call('PEXPIRE', writes, 60000)
  return result
end
"""

# What a script returns that was applied before. One with something to return has lost it.
_NOTHING = "nil"
_LOST = f"redis.error_reply('{REPEATED} write: it was applied before')"

PUSH = """
local function push(key, first, last)
  for start = first, last, 4000 do
    redis.call('RPUSH', key, unpack(ARGV, start, math.min(start + 3999, last)))
  end
end
"""
_REFILL = """
local function refill(key, first, last)
  push(key, first, last)
  if last < first then
    redis.call('DEL', key)
  else
    redis.call('LTRIM', key, first - last - 1, -1)
  end
end
"""


def framed(body: str, *helpers: str, repeated: str = _NOTHING, may_empty: bool = False) -> str:
    """A script of ``body``, which finds its arguments from ``at`` on and leaves a ``result``.

    Args:
        body: The lines between the frame's.
        helpers: The functions that it calls. A script without needless ones runs faster.
        repeated: What it returns when it was applied before.
        may_empty: It may leave nothing of the conversation.
    """
    text = _FRAME % {
        "body": "".join((*helpers, body)),
        "remembered": REMEMBERED,
        "emptied": _IF_EMPTIED if may_empty else "",
        "repeated": repeated,
    }
    return "\n".join(line for line in map(str.strip, text.splitlines()) if line)


def number_of(name: str) -> str:
    """The number in KEYS of the sidecar ``name``."""
    return str(2 + list(_keys.SIDECARS).index(name))


def script(source: str, key: str, *arguments: str | bytes, ttl_ms: int | None = None) -> Command:
    """The command that runs a framed script on the conversation of the list ``key``, once.

    Args:
        source: From ``framed``.
        key: The list.
        arguments: The body's.
        ttl_ms: The TTL to restart; None leaves the expiry as it is.
    """
    keys = _keys.conversation_keys(key)
    return (
        "EVAL", source, str(len(keys)), *keys,
        "", "" if ttl_ms is None else str(ttl_ms), "list", *_keys.SIDECARS.values(), "list",
        *arguments,
    )  # fmt: skip


def with_token(command: Command, token: str | bytes) -> Command:
    """The command of a ``script`` that is applied once, however often it arrives with ``token``."""
    at = 3 + int(command[2])
    return (*command[:at], token, *command[at + 1 :])


LIST = "1"
"""The number in KEYS of the list."""


_TRIM = """
local function trim(key, from)
  if from ~= '' then redis.call('LTRIM', key, from, -1) end
end
"""

# Arguments: the target's number, where its LTRIM begins or '', the elements. Its trim, and that of
# the next, may be another: see ``turn_scripts``.
APPEND_BODY = """
local target = KEYS[tonumber(ARGV[at])]
push(target, at + 2, #ARGV)
trim(target, ARGV[at + 1])
"""
APPEND = framed(APPEND_BODY, PUSH, _TRIM)

# Arguments: the target's number, the number of another key to delete or '', the elements.
REPLACE = framed(
    """
local target = KEYS[tonumber(ARGV[at])]
refill(target, at + 2, #ARGV)
if ARGV[at + 1] ~= '' then redis.call('DEL', KEYS[tonumber(ARGV[at + 1])]) end
""",
    PUSH,
    _REFILL,
    may_empty=True,
)

# Lists insert next to a value and delete by value, not by index: for a moment the element at the
# index is replaced by a placeholder that no message can be (it is not JSON).
PLACEHOLDER = b"\x00placeholder\x00"

# Arguments: index, element, placeholder, where LTRIM begins or ''.
INSERT_BODY = """
local length, index = redis.call('LLEN', KEYS[1]), tonumber(ARGV[at])
if index < 0 then index = math.max(length + index, 0) end
if index >= length then
  redis.call('RPUSH', KEYS[1], ARGV[at + 1])
else
  local pushed_back = redis.call('LINDEX', KEYS[1], index)
  redis.call('LSET', KEYS[1], index, ARGV[at + 2])
  redis.call('LINSERT', KEYS[1], 'BEFORE', ARGV[at + 2], ARGV[at + 1])
  redis.call('LSET', KEYS[1], index + 1, pushed_back)
end
trim(KEYS[1], ARGV[at + 3])
"""
INSERT = framed(INSERT_BODY, _TRIM)

# Arguments: index, placeholder. Returns the element.
DELETE_AT = framed(
    """
local deleted = redis.call('LINDEX', KEYS[1], ARGV[at])
if deleted then
  redis.call('LSET', KEYS[1], ARGV[at], ARGV[at + 1])
  redis.call('LREM', KEYS[1], 1, ARGV[at + 1])
end
result = deleted
""",
    repeated=_LOST,
    may_empty=True,
)

DELETE_LAST = framed("result = redis.call('RPOP', KEYS[1])", repeated=_LOST, may_empty=True)

# Argument: how many. Returns the elements.
DELETE_OLDEST = framed(
    "result = redis.call('LPOP', KEYS[1], ARGV[at])", repeated=_LOST, may_empty=True
)

# Arguments: how many, the archived list's number. Returns the elements.
ARCHIVE_OLDEST = framed(
    """
local archived, moved = KEYS[tonumber(ARGV[at + 1])], {}
for i = 1, tonumber(ARGV[at]) do
  local element = redis.call('LMOVE', KEYS[1], archived, 'LEFT', 'RIGHT')
  if not element then break end
  moved[i] = element
end
result = moved
""",
    repeated=_LOST,
    may_empty=True,
)

# Argument: 'list' to delete that alone, or '' for everything. Returns the elements of the list.
TAKE = framed(
    """
local elements = redis.call('LRANGE', KEYS[1], 0, -1)
if ARGV[at] == 'list' then redis.call('UNLINK', KEYS[1]) else redis.call('UNLINK', unpack(KEYS)) end
result = elements
""",
    repeated=_LOST,
    may_empty=True,
)

# Argument: the number of the key to delete; none is all. Returns how many there were.
DELETE = framed(
    """
if #ARGV < at then
  result = redis.call('UNLINK', unpack(KEYS, 1, contents))
  redis.call('UNLINK', writes)
else
  result = redis.call('UNLINK', KEYS[tonumber(ARGV[at])])
end
""",
    repeated=_LOST,
    may_empty=True,
)

# Arguments: 'new', 'replace' or 'append', the TTL in milliseconds or '', the archived list's
# number, how many archived elements, the elements, archived first. A conversation that is added to
# keeps its expiry. Returns 0 when one is there that must be left alone.
WRITE_WHOLE = framed(
    """
local mode, exists = ARGV[at], expires ~= -2
local write = mode == 'replace' and refill or push
local archived, first = tonumber(ARGV[at + 2]), at + 4
local active = first + tonumber(ARGV[at + 3])
result = exists and mode == 'new' and 0 or 1
if result == 1 then
  write(KEYS[archived], first, active - 1)
  write(KEYS[1], active, #ARGV)
  if mode == 'replace' then
    for i, key in ipairs(KEYS) do
      if i == 1 or i == archived or key == writes then
        redis.call('PERSIST', key)
      else
        redis.call('UNLINK', key)
      end
    end
  end
  if not (exists and mode == 'append') then ttl, expires = ARGV[at + 1], -2 end
end
""",
    PUSH,
    _REFILL,
    repeated="1",
)

# Argument: 'never' to end the expiry. Returns how many keys there are.
EXPIRE = framed("""
result = redis.call('EXISTS', unpack(KEYS, 1, contents))
if result == 0 then
  ttl, expires = '', -2
elseif ARGV[at] == 'never' then
  expires = -1
  for _, key in ipairs(KEYS) do redis.call('PERSIST', key) end
end
""")
