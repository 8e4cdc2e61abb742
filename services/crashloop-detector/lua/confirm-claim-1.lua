--[[
  Notes that the announcement of a claim is out, so that its event, seen again, does not repeat it.

  Steps: look whether the loop's claim is still this one; if so, mark it.

  KEYS[1]  prefix of all keys, as in record-crashes-1.lua
  ARGV[1]  loop
  ARGV[2]  id of the event that made the claim
  ARGV[3]  time of the newest crash when it was claimed, microseconds

  Returns  1 when marked, 0 when another claim has taken its place
]]
local loop_key = KEYS[1] .. 'loop:' .. ARGV[1]
local claim = redis.call('HMGET', loop_key, 'claimedBy', 'claimAt')
if claim[1] ~= ARGV[2] or claim[2] ~= ARGV[3] then return 0 end
redis.call('HSET', loop_key, 'confirmed', '1')
return 1
