"""Scripts that know where turns begin: writes that trim to whole turns, and reading an end.

The rule is that of ``windows.turn_starts``.
"""

from __future__ import annotations

from .frame import PUSH, framed
from .scripts import APPEND_BODY, APPEND_COUNTS, INSERT_BODY

# Decoding takes long, so only what may be a system or user message is decoded, and what follows
# one. Nearly always the role stands first, without spaces; and if not, it stands in quotes. Where
# no turn begins among the newest messages, the newest turn is longer: its beginning is looked for
# from the end.
_TRIM_TO_TURNS = """
local function decoded(raw)
  local known, element = pcall(cjson.decode, raw)
  return known and type(element) == 'table' and element or {}
end
local function carries_results(element)
  if type(element.content) == 'table' then
    for _, block in ipairs(element.content) do
      if type(block) == 'table' and (block.type == 'tool_result' or block.toolResult) then
        return true
      end
    end
  end
  return false
end
local find, sub = string.find, string.sub
local first_letters = {u = true, s = true, d = true}
local function speaker(raw)
  if sub(raw, 1, 9) == '{"role":"' then
    if not first_letters[sub(raw, 10, 10)] then return nil end
  elseif not (find(raw, '"user"', 1, true) or find(raw, '"system"', 1, true)
      or find(raw, '"developer"', 1, true)) then
    return nil
  end
  local element = decoded(raw)
  local role = element.role
  if role == 'system' or role == 'developer' then return 'system' end
  if role == 'user' and not carries_results(element) then return 'user' end
  return nil
end
local function is_result(raw)
  local element = decoded(raw)
  local role = element.role
  return role == 'tool' or role == 'function' or role == 'user' and carries_results(element)
end
local function first_turn(key, cut, length)
  local inside, begin, spoken = speaker(call('LINDEX', key, cut - 1)) ~= nil, nil, false
  for low = cut, length - 1, 16 do
    for offset, raw in ipairs(call('LRANGE', key, low, low + 15)) do
      local who = speaker(raw)
      if who then
        if not inside then begin, inside, spoken = low + offset - 1, true, false end
        spoken = spoken or who == 'user'
      else
        if begin and spoken and not is_result(raw) then return begin end
        begin, inside = nil, false
      end
    end
  end
  return begin and spoken and begin
end
local function newest_turn(key, length)
  local inside, spoken, after = false, false, nil
  for high = length - 1, 0, -64 do
    local low = math.max(high - 63, 0)
    local elements = call('LRANGE', key, low, high)
    for i = #elements, 1, -1 do
      local who = speaker(elements[i])
      if who then
        if not inside then inside, spoken = true, false end
        spoken = spoken or who == 'user'
      else
        if inside and spoken and not (after and is_result(after)) then return low + i end
        inside, after = false, elements[i]
      end
    end
  end
  return inside and spoken and not (after and is_result(after)) and 0
end
local function trim(key, from)
  if from == '' then return end
  local length = call('LLEN', key)
  local cut = length + tonumber(from)
  if cut <= 0 then return end
  local begin = first_turn(key, cut, length) or newest_turn(key, length) or cut
  call('LTRIM', key, begin, -1)
end
"""

# Their arguments are those of the scripts of the same name.
APPEND = framed(
    APPEND_BODY, PUSH, _TRIM_TO_TURNS, counts=APPEND_COUNTS, only_list=True, tries_list=True
)
INSERT = framed(INSERT_BODY, _TRIM_TO_TURNS, counts="1", only_list=True)

# Arguments: how many elements at most or '', after how many bytes to stop or ''. Returns how many
# elements there are, the newest that were asked for, oldest first, and the text of the summary
# where its key was given, too.
_READ_END = """
local length = redis.call('LLEN', KEYS[1])
local most, enough = tonumber(ARGV[1]), tonumber(ARGV[2])
local found, bytes, high, size = {}, 0, length - 1, 16
while high >= 0 do
  local low = math.max(high - size + 1, 0)
  local elements = redis.call('LRANGE', KEYS[1], low, high)
  for i = #elements, 1, -1 do
    found[#found + 1] = elements[i]
    bytes = bytes + #elements[i]
    if most and #found >= most or enough and bytes >= enough then low = 0 break end
  end
  high, size = low - 1, math.min(size * 2, 256)
end
local ordered = {}
for i = #found, 1, -1 do ordered[#ordered + 1] = found[i] end
return {length, ordered, KEYS[2] and redis.call('HGET', KEYS[2], 'text')}
"""
READ_END = "\n".join(map(str.strip, _READ_END.strip().splitlines()))
