--[[
  Takes the lease, or keeps it, and says whose it is. May be repeated: for its holder it only prolongs the lease.

  Steps:
    1. Leave a lease that another one holds, and name that one.
    2. Prolong a lease that the asker holds; its token stays.
    3. Otherwise make a fencing token from Redis' own clock, raised above the checkpoint's in case that clock was set back, and put it into the
       checkpoint: from here on whoever led before cannot move it. What lies there and is no hash is left for the loading to complain of.

  KEYS[1]  the lease's hash
  KEYS[2]  the checkpoint's hash
  ARGV     holder, milliseconds that the lease lasts

  Returns: { 'held', holder } or { 'granted', token }
]]
local holder, token = unpack(redis.call('HMGET', KEYS[1], 'holder', 'token'))
if holder and holder ~= ARGV[1] then
  return { 'held', holder }
end
if not holder then
  local time = redis.call('TIME')
  local fresh = tonumber(time[1]) * 1000000 + tonumber(time[2])
  local kind = redis.call('TYPE', KEYS[2]).ok
  local stored = kind == 'hash' and redis.call('HGET', KEYS[2], 'token')
  stored = stored and tonumber(stored)
  if stored and stored >= fresh then
    fresh = stored + 1
  end
  token = string.format('%.0f', fresh)
  if kind == 'hash' or kind == 'none' then
    redis.call('HSET', KEYS[2], 'token', token)
  end
  redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'token', token)
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return { 'granted', token }
