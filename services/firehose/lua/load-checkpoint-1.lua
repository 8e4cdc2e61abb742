--[[
  Reads the stored checkpoint and hands out a fencing token that is higher than any before. Writes nothing: the first save takes over.

  Steps:
    1. Name what lies there when it is no hash, in the place of the index.
    2. Take the time of Redis' own clock in microseconds, so that an emptied Redis never hands out an old token.
    3. Raise it above the stored token, in case that clock was set back.

  KEYS[1]  the checkpoint's hash

  Returns: { token, index or false, filter or false, source or false, namespaces_at or false, epoch or false, topics or false }
]]
local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
  return { '0', 'a ' .. kind }
end
local time = redis.call('TIME')
local token = tonumber(time[1]) * 1000000 + tonumber(time[2])
local fields = redis.call('HMGET', KEYS[1], 'token', 'index', 'filter', 'source', 'namespaces_at', 'epoch', 'topics')
local stored = fields[1] and tonumber(fields[1])
if stored and stored >= token then
  token = stored + 1
end
return { string.format('%.0f', token), fields[2], fields[3], fields[4], fields[5], fields[6], fields[7] }
