"""What each write of a conversation does on the server: the bodies of its scripts."""

from __future__ import annotations

from .. import _keys
from .frame import LOST, PUSH, REFILL, framed, number_of

LIST = "1"
"""The number in KEYS of the list."""


_TRIM = """
local function trim(key, from)
  if from ~= '' then call('LTRIM', key, from, -1) end
end
"""

# Arguments: where LTRIM begins or '', the elements. Its trim, and that of INSERT, may be another:
# see ``turn_scripts``.
APPEND_BODY = """
local pushed = redis.pcall('RPUSH', KEYS[1], unpack(ARGV, at + 1, math.min(#ARGV, at + 4000)))
if type(pushed) == 'table' then return wrong_type(1) or pushed end
push(KEYS[1], at + 4001, #ARGV)
trim(KEYS[1], ARGV[at])
"""
APPEND_COUNTS = "#ARGV - at"
APPEND = framed(APPEND_BODY, PUSH, _TRIM, counts=APPEND_COUNTS, only_list=True, tries_list=True)

# Arguments: the elements.
APPEND_ARCHIVED = framed(
    f"push(KEYS[{number_of(_keys.ARCHIVED)}], at, #ARGV)", PUSH, counts="#ARGV - at + 1"
)

# Arguments: the target's number, the number of another key to delete or '', the elements.
REPLACE = framed(
    """
local target, other = KEYS[tonumber(ARGV[at])], KEYS[tonumber(ARGV[at + 1])]
local before = call('LLEN', target) + (other and call('LLEN', other) or 0)
refill(target, at + 2, #ARGV)
if other then call('DEL', other) end
""",
    PUSH,
    REFILL,
    counts="#ARGV - at - 1 - before",
    may_empty=True,
)

# Lists insert next to a value and delete by value, not by index: for a moment the element at the
# index is replaced by a placeholder that no message can be (it is not JSON).
PLACEHOLDER = b"\x00placeholder\x00"

# Arguments: index, element, placeholder, where LTRIM begins or ''.
INSERT_BODY = """
local length, index = call('LLEN', KEYS[1]), tonumber(ARGV[at])
if index < 0 then index = math.max(length + index, 0) end
if index >= length then
  call('RPUSH', KEYS[1], ARGV[at + 1])
else
  local pushed_back = call('LINDEX', KEYS[1], index)
  call('LSET', KEYS[1], index, ARGV[at + 2])
  call('LINSERT', KEYS[1], 'BEFORE', ARGV[at + 2], ARGV[at + 1])
  call('LSET', KEYS[1], index + 1, pushed_back)
end
trim(KEYS[1], ARGV[at + 3])
"""
INSERT = framed(INSERT_BODY, _TRIM, counts="1", only_list=True)

# Arguments: index, placeholder. Returns the element.
DELETE_AT = framed(
    """
local deleted = call('LINDEX', KEYS[1], ARGV[at])
if deleted then
  call('LSET', KEYS[1], ARGV[at], ARGV[at + 1])
  call('LREM', KEYS[1], 1, ARGV[at + 1])
end
result = deleted
""",
    counts="deleted and -1",
    repeated=LOST,
    may_empty=True,
    only_list=True,
)

DELETE_LAST = framed(
    "result = call('RPOP', KEYS[1])",
    counts="result and -1",
    repeated=LOST,
    may_empty=True,
    only_list=True,
)

# Argument: how many. Returns the elements.
DELETE_OLDEST = framed(
    "result = call('LPOP', KEYS[1], ARGV[at])",
    counts="result and -#result",
    repeated=LOST,
    may_empty=True,
    only_list=True,
)

# Arguments: how many, the archived list's number. Returns the elements.
ARCHIVE_OLDEST = framed(
    """
local archived, moved = KEYS[tonumber(ARGV[at + 1])], {}
for i = 1, tonumber(ARGV[at]) do
  local element = call('LMOVE', KEYS[1], archived, 'LEFT', 'RIGHT')
  if not element then break end
  moved[i] = element
end
result = moved
""",
    counts="#moved > 0 and 0",
    repeated=LOST,
    may_empty=True,
)

# Argument: 'list' to delete that alone, or '' for everything. Returns the elements of the list.
TAKE = framed(
    """
local elements = call('LRANGE', KEYS[1], 0, -1)
local alone = ARGV[at] == 'list'
call('UNLINK', unpack(KEYS, 1, alone and 1 or own))
result = elements
""",
    counts="alone and #elements > 0 and -#elements",
    repeated=LOST,
    may_empty=True,
)

# Argument: the number of the key to delete; none is all. Returns how many there were.
DELETE = framed(
    """
local one, held = KEYS[tonumber(ARGV[at])], 0
if one then
  held = call('LLEN', one)
  result = call('UNLINK', one)
else
  result = call('UNLINK', unpack(KEYS, 1, contents))
  call('UNLINK', writes)
end
""",
    counts="held > 0 and -held",
    repeated=LOST,
    may_empty=True,
)

# Argument: a user. Deletes the conversation, unless its record names another one. Returns how many
# messages, archived ones, summaries and keys there were, or nothing where it is another's.
DELETE_OF_USER = framed(
    f"""
local owner = call('HGET', KEYS[{number_of(_keys.META)}], 'user_id')
if not owner or owner == ARGV[at] then
  result = {{
    call('LLEN', KEYS[1]), call('LLEN', KEYS[{number_of(_keys.ARCHIVED)}]),
    call('EXISTS', KEYS[{number_of(_keys.SUMMARY)}]), call('UNLINK', unpack(KEYS, 1, contents)),
  }}
  call('UNLINK', writes)
end
""",
    may_empty=True,
)

# Arguments: 'new', 'replace' or 'append', the TTL in milliseconds or '', the numbers of the
# archived list, of the record and of the summary, how many values of each of these hashes and how
# many archived elements, the values, the elements, archived first. A conversation that is added to
# keeps its expiry and its hashes. Returns 0 when one is there that must be left alone.
WRITE_WHOLE = framed(
    """
local mode, exists = ARGV[at], expires ~= -2
local write = mode == 'replace' and refill or push
local archived = tonumber(ARGV[at + 2])
local of_record, of_summary = at + 8, at + 8 + tonumber(ARGV[at + 5])
local first = of_summary + tonumber(ARGV[at + 6])
local active = first + tonumber(ARGV[at + 7])
local function set(number, from, stop)
  local hash = KEYS[tonumber(ARGV[number])]
  if stop > from and call('EXISTS', hash) == 0 then
    call('HSET', hash, unpack(ARGV, from, stop - 1))
  end
end
result = exists and mode == 'new' and 0 or 1
if result == 1 then
  write(KEYS[archived], first, active - 1)
  write(KEYS[1], active, #ARGV)
  if mode == 'replace' then
    for i = 1, own do
      local key = KEYS[i]
      if i == 1 or i == archived or key == writes then
        call('PERSIST', key)
      else
        call('UNLINK', key)
      end
    end
  end
  set(at + 3, of_record, of_summary)
  set(at + 4, of_summary, first)
  if not (exists and mode == 'append') then ttl, expires = ARGV[at + 1], -2 end
end
""",
    PUSH,
    REFILL,
    repeated="1",
)

# Argument: 'never' to end the expiry. Returns how many keys there are.
EXPIRE = framed(
    """
result = call('EXISTS', unpack(KEYS, 1, contents))
if result == 0 then
  ttl, expires = '', -2
elseif ARGV[at] == 'never' then
  expires = -1
  for i = 1, own do call('PERSIST', KEYS[i]) end
end
""",
    counts="result > 0 and 0",
)
