"""The scripts on a thread: each reads or changes it whole, on its two keys, in one step.

KEYS are the thread's index and its values, ARGV the TTL to restart in milliseconds, or '', and what
a body takes. Names come without their letters (``names``), values as ``records`` packs them.

A write refuses a key that holds a value of another type before it changes anything. The index is
written last, for a server without memory refuses the first write of a script and no later one. Lua
unpacks at most about 8,000 values, so long lists go in portions.
"""

from __future__ import annotations

_OPEN = r"""
local call, sub = redis.call, string.sub
local index, values, ttl = KEYS[1], KEYS[2], ARGV[1]
"""
_TYPES = r"""
for i, kind in ipairs({'zset', 'hash'}) do
  local found = call('TYPE', KEYS[i]).ok
  if found ~= kind and found ~= 'none' then
    return redis.error_reply('WRONGTYPE ' .. KEYS[i] .. ' is a ' .. found .. ', no ' .. kind)
  end
end
"""
_CLOSE = r"""
if ttl ~= '' then
  call('PEXPIRE', index, ttl)
  call('PEXPIRE', values, ttl)
end
return result
"""

_READ_VALUES = r"""
local function read(fields)
  local found = {}
  for start = 1, #fields, 4000 do
    local some = call('HMGET', values, unpack(fields, start, math.min(start + 3999, #fields)))
    if #fields <= 4000 then return some end
    for _, value in ipairs(some) do found[#found + 1] = value end
  end
  return found
end
"""
_CHANGE_VALUES = r"""
local function change(command, first, last)
  for start = first, last, 4000 do
    call(command, values, unpack(ARGV, start, math.min(start + 3999, last)))
  end
end
"""
_PARTS = r"""
local function parts(text)
  local found = {}
  for part in string.gmatch(text .. '\0', '([^%z]*)%z') do found[#found + 1] = part end
  return found
end
"""
# Of the links of a checkpoint: what its channels' values would be called.
_BLOBS = r"""
local function blobs(name, links)
  local names, space = {}, string.match(name, '^[^%z]*%z')
  for i = 4 + links[3], #links, 2 do
    names[#names + 1] = 'b' .. space .. links[i] .. '\0' .. links[i + 1]
  end
  return names
end
"""
_WRITES_OF = r"""
local function writes_of(name)
  return call('ZRANGEBYLEX', index, '[w' .. name .. '\0', '(w' .. name .. '\1')
end
"""
# A name whose checkpoint is left empty stands for the newest of its namespace.
_RESOLVE = r"""
local function resolve(name)
  if sub(name, -1) ~= '\0' then return name end
  local top = '(c' .. sub(name, 1, -2) .. '\1'
  local newest = call('ZREVRANGEBYLEX', index, top, '[c' .. name, 'LIMIT', 0, 1)[1]
  return newest and sub(newest, 2)
end
"""


def _script(*parts: str) -> str:
    lines = (line.strip() for part in parts for line in part.splitlines())
    return "\n".join(line for line in lines if line)


# ARGV: after how many bytes to stop, '' for links and states only, and names. Returns how many
# names were looked at, the checkpoints found (name, links, state, names and contents of writes),
# and the channels' values, each once: names and contents.
READ = _script(
    _OPEN,
    _READ_VALUES,
    _PARTS,
    _BLOBS,
    _WRITES_OF,
    _RESOLVE,
    r"""
    local limit, whole = tonumber(ARGV[2]), ARGV[3] ~= ''
    local found, names, seen, size, looked = {}, {}, {}, 0, 0
    for i = 4, #ARGV do
      if size > limit then break end
      looked = looked + 1
      local name = resolve(ARGV[i])
      local pair = name and call('HMGET', values, 'l' .. name, 's' .. name)
      local links, state = pair and pair[1], pair and pair[2]
      if links and state then
        size = size + #links + #state
        local entry = {name, links, state}
        if whole then
          for _, blob in ipairs(blobs(name, parts(links))) do
            if not seen[blob] then
              seen[blob] = true
              names[#names + 1] = blob
              size = size + call('HSTRLEN', values, blob)
            end
          end
          entry[4] = writes_of(name)
          entry[5] = read(entry[4])
          for _, text in ipairs(entry[5]) do size = size + (text and #text or 0) end
        end
        found[#found + 1] = entry
      end
    end
    local result = {looked, found, names, read(names)}
    """,
    _CLOSE,
)

# ARGV: the name, links, state, how many values it expects to be there, their names, and names and
# contents of new values. Where one that it expects is missing it changes nothing and returns the
# numbers of those.
PUT = _script(
    _OPEN,
    _TYPES,
    _CHANGE_VALUES,
    r"""
    local missing, expected = {}, tonumber(ARGV[5])
    for i = 1, expected do
      if call('HEXISTS', values, ARGV[5 + i]) == 0 then missing[#missing + 1] = i end
    end
    if #missing > 0 then return missing end
    call('HSET', values, 'l' .. ARGV[2], ARGV[3], 's' .. ARGV[2], ARGV[4])
    change('HSET', 6 + expected, #ARGV)
    call('ZADD', index, 0, 'c' .. ARGV[2])
    local result = missing
    """,
    _CLOSE,
)

# ARGV: the name, and a record of each write. One with a negative index takes the place of the one
# that is there, of any other the first stays.
PUT_WRITES = _script(
    _OPEN,
    _TYPES,
    r"""
    local name = 'w' .. ARGV[2]
    local held, records, numbers = call('HGET', values, name), {}, {}
    local function add(record)
      local number = tonumber(string.match(record, '^%-?%d+', 5))
      if not records[number] then numbers[#numbers + 1] = number end
      if number < 0 or not records[number] then records[number] = record end
    end
    local at = 1
    while held and at <= #held do
      local after = at + 4 + struct.unpack('>I4', held, at)
      add(sub(held, at, after - 1))
      at = after
    end
    for i = 3, #ARGV do add(ARGV[i]) end
    table.sort(numbers)
    for i, number in ipairs(numbers) do numbers[i] = records[number] end
    call('HSET', values, name, table.concat(numbers))
    call('ZADD', index, 0, name)
    local result = nil
    """,
    _CLOSE,
)

# ARGV: the name, and channels. From its parent on back, until each channel has a value: for each
# checkpoint names and contents of its writes, as far as they are to channels that had none yet, and
# channels and their values.
HISTORY = _script(
    _OPEN,
    _READ_VALUES,
    _PARTS,
    _WRITES_OF,
    _RESOLVE,
    r"""
    local wanted, left, visited, result = {}, #ARGV - 2, {}, {}
    for i = 3, #ARGV do wanted[ARGV[i]] = true end
    local name = resolve(ARGV[2])
    local space = string.match(ARGV[2], '^[^%z]*%z')
    local function links_of(one)
      local links = one and not visited[one] and call('HGET', values, 'l' .. one)
      if links then visited[one] = true end
      return links and parts(links)
    end
    local function to_wanted(records)
      local found, at = {}, 1
      while at <= #records do
        local after = at + 4 + struct.unpack('>I4', records, at)
        if wanted[string.match(records, '^%-?%d+%z[^%z]*%z([^%z]*)%z', at + 4)] then
          found[#found + 1] = sub(records, at, after - 1)
        end
        at = after
      end
      return table.concat(found)
    end
    local links = links_of(name)
    while links and links[1] ~= '' and left > 0 do
      name = space .. links[1]
      links = links_of(name)
      if links then
        local names, seeds = writes_of(name), {}
        local writes = read(names)
        for i, records in ipairs(writes) do writes[i] = records and to_wanted(records) end
        for i = 4 + links[3], #links, 2 do
          local value = wanted[links[i]]
            and call('HGET', values, 'b' .. space .. links[i] .. '\0' .. links[i + 1])
          if value then
            wanted[links[i]], left = nil, left - 1
            seeds[#seeds + 1] = links[i]
            seeds[#seeds + 1] = value
          end
        end
        result[#result + 1] = {names, writes, seeds}
      end
    end
    """,
    _CLOSE,
)

# Deletes the checkpoints that are not in `kept`, with their writes, and the values of channels that
# no checkpoint has any more. Returns how many.
_SWEEP = r"""
local function sweep(kept)
  local needed, result = {}, 0
  local all = call('ZRANGEBYLEX', index, '[c', '(d')
  for _, member in ipairs(all) do
    local name = sub(member, 2)
    if kept[name] then
      for _, blob in ipairs(blobs(name, kept[name])) do needed[blob] = true end
    else
      result = result + 1
      call('ZREM', index, member)
      call('HDEL', values, 'l' .. name, 's' .. name)
      for _, write in ipairs(writes_of(name)) do
        call('ZREM', index, write)
        call('HDEL', values, write)
      end
    end
  end
  if result > 0 then
    for _, field in ipairs(call('HKEYS', values)) do
      if sub(field, 1, 1) == 'b' and not needed[field] then call('HDEL', values, field) end
    end
  end
  return result
end
"""
_ALL_LINKS = r"""
local names, links = call('ZRANGEBYLEX', index, '[c', '(d'), {}
for i, member in ipairs(names) do
  local name = sub(member, 2)
  names[i], links[name] = name, parts(call('HGET', values, 'l' .. name) or '\0\0' .. '0')
end
"""

# Keeps the newest checkpoint of each namespace, and those before it whose writes it is rebuilt
# from: back to where each of its replayed channels has a value.
PRUNE = _script(
    _OPEN,
    _TYPES,
    _PARTS,
    _BLOBS,
    _WRITES_OF,
    _SWEEP,
    _ALL_LINKS,
    r"""
    local kept = {}
    for i, name in ipairs(names) do
      local space = string.match(name, '^[^%z]*%z')
      if string.match(names[i + 1] or '', '^[^%z]*%z') ~= space then
        local left, one = {}, name
        for n = 4, 3 + links[name][3] do left[links[name][n]] = true end
        while links[one] and not kept[one] do
          local here = links[one]
          kept[one] = here
          for n = 4 + here[3], #here, 2 do
            local blob = 'b' .. space .. here[n] .. '\0' .. here[n + 1]
            if left[here[n]] and call('HEXISTS', values, blob) == 1 then left[here[n]] = nil end
          end
          if not next(left) then break end
          one = space .. here[1]
        end
      end
    end
    local result = sweep(kept)
    """,
    _CLOSE,
)

# ARGV: runs. Deletes their checkpoints.
DELETE_RUNS = _script(
    _OPEN,
    _TYPES,
    _PARTS,
    _BLOBS,
    _WRITES_OF,
    _SWEEP,
    _ALL_LINKS,
    r"""
    local runs = {}
    for i = 2, #ARGV do runs[ARGV[i]] = true end
    for _, name in ipairs(names) do
      if runs[links[name][2]] then links[name] = nil end
    end
    local result = sweep(links)
    """,
    _CLOSE,
)

# ARGV: how many members the index gets, these, and names and contents of values.
FILL = _script(
    _OPEN,
    _TYPES,
    _CHANGE_VALUES,
    r"""
    local members, result = tonumber(ARGV[2]), nil
    change('HSET', 3 + members, #ARGV)
    for i = 3, 2 + members do call('ZADD', index, 0, ARGV[i]) end
    """,
    _CLOSE,
)
