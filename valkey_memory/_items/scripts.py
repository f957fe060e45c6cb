"""What an operation on one item, or on the list of them, does on the server.

A script has keys of one slot only: an item's hash, or the list with its sidecar.
"""

from __future__ import annotations

from .records import FIELDS

_FIELDS = ", ".join(f"'{name}'" for name in FIELDS)

# KEYS: the item. Restarts its TTL, if it has one. A vector is kept for twice the TTL and a minute,
# from when it was written or touched; it is touched again once more than half of the TTL is over.
# So no item outlives its vectors, and most reads touch none. Returns whether to touch them.
REFRESH = """
local call, key, touch = redis.call, KEYS[1], 0
local kept = call('HMGET', key, 'ttl', 'touched')
local ttl, touched = kept[1], kept[2]
if ttl then
  call('PEXPIRE', key, ttl)
  if touched and call('TIME')[1] - touched > ttl / 2000 then touch = 1 end
end
"""

# The same; returns the fields of the item behind it.
READ = f"{REFRESH}return {{touch, call('HMGET', key, {_FIELDS})}}"
REFRESH += "return touch"

# KEYS: items. Returns the fields of each.
READ_ALL = f"""
local found = {{}}
for i, key in ipairs(KEYS) do found[i] = redis.call('HMGET', key, {_FIELDS}) end
return found
"""


def vectors_ttl_ms(ttl_ms: int) -> int:
    """How long vectors are kept, from when they are written or touched."""
    return 2 * ttl_ms + 60_000


# KEYS: the item. ARGV: the vectors that were touched.
TOUCHED = """
if redis.call('HGET', KEYS[1], 'vectors') == ARGV[1] then
  return redis.call('HSET', KEYS[1], 'touched', redis.call('TIME')[1])
end
"""

# KEYS: the item. ARGV: its value, its TTL in milliseconds or '', its vectors or ''. Returns the
# vectors of the item that was there, if it had any.
PUT = """
local call, key = redis.call, KEYS[1]
local replaced, time = call('HGET', key, 'vectors'), call('TIME')
local now = string.format('%d.%06d', time[1], time[2])
call('HSET', key, 'value', ARGV[1], 'updated_at', now)
call('HSETNX', key, 'created_at', now)
if ARGV[2] == '' then
  call('HDEL', key, 'ttl')
  call('PERSIST', key)
else
  call('HSET', key, 'ttl', ARGV[2])
  call('PEXPIRE', key, ARGV[2])
end
if ARGV[3] == '' then
  call('HDEL', key, 'vectors', 'touched')
else
  call('HSET', key, 'vectors', ARGV[3], 'touched', time[1])
end
return replaced ~= ARGV[3] and replaced
"""

# KEYS: the item. Returns its vectors, if it had any.
DELETE = """
local vectors = redis.call('HGET', KEYS[1], 'vectors')
redis.call('UNLINK', KEYS[1])
return vectors
"""

# KEYS: the list, what was missing, what is not indexed. ARGV: entries whose items are not there.
# An entry stands before its item is written, and in a cluster no script sees both. So it goes when
# its item was missing a minute ago, too, with no put in between: by then each that was under way is
# over. A full server refuses to note what is missing; it stays listed.
DROP = """
local call, missing = redis.call, KEYS[2]
local now = tonumber(call('TIME')[1])
for _, entry in ipairs(ARGV) do
  local since = call('ZSCORE', missing, entry)
  if not since then
    redis.pcall('ZADD', missing, now, entry)
  elseif now - since >= 60 then
    for i = 1, #KEYS do call('ZREM', KEYS[i], entry) end
  end
end
"""

# KEYS: the list. ARGV: where to begin and to stop, a depth or '', how many. Returns one entry for
# each namespace, cut to that depth, which has any. It jumps from one to the next.
NAMESPACES = """
local start, stop, depth, found = ARGV[1], ARGV[2], tonumber(ARGV[3]), {}
for i = 1, tonumber(ARGV[4]) do
  local entry = redis.call('ZRANGE', KEYS[1], start, stop, 'BYLEX', 'LIMIT', 0, 1)[1]
  if not entry then break end
  found[i] = entry
  local at, labels = 1, 0
  while string.byte(entry, at) ~= 0 and labels ~= depth do
    at = string.find(entry, '\\0', at, true) + 1
    labels = labels + 1
  end
  if labels == depth then
    start = '[' .. string.sub(entry, 1, at - 2) .. '\\1'  -- over all that is below it
  else
    start = '[' .. string.sub(entry, 1, at - 1) .. '\\1'
  end
end
return found
"""
