--[[
  Stores the checkpoint unless a process with a higher fencing token has stored one.

  Steps:
    1. Refuse a lower token.
    2. Refuse to overwrite an index that is no number: a person has to look at it.
    3. Store all fields at once.

  KEYS[1]  the checkpoint's hash
  ARGV     token, index, updated_at, filter, source, namespaces_at, epoch, topics (the newest index of each, as JSON)

  Returns: 'saved', 'taken-over' or 'invalid'
]]
local fields = redis.call('HMGET', KEYS[1], 'token', 'index')
local stored = fields[1] and tonumber(fields[1])
if stored and stored > tonumber(ARGV[1]) then
  return 'taken-over'
end
if fields[2] and not string.match(fields[2], '^%d+$') then
  return 'invalid'
end
redis.call('HSET', KEYS[1], 'token', ARGV[1], 'index', ARGV[2], 'updated_at', ARGV[3], 'filter', ARGV[4], 'source', ARGV[5], 'namespaces_at', ARGV[6],
  'epoch', ARGV[7], 'topics', ARGV[8])
return 'saved'
