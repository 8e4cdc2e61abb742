--[[
  Ends the loops of which no crash came in time, and gives ends that nobody is announcing. ledger.lua stands before it.

  Steps: end what is due (crashes that came since move a loop back only here; a loop whose announcement is not confirmed is looked at again after the lease); take ends whose lease has passed.

  KEYS[1]  prefix of all keys, see ledger.lua
  ARGV[1]  most ends
  ARGV[2]  lease, microseconds

  Returns  the ends as JSON, see describe_loop in ledger.lua
]]
local limit, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
for _, loop in ipairs(redis.call('ZRANGEBYSCORE', open_key, '-inf', whole(now), 'LIMIT', 0, limit)) do
  local state = read_state(loop)
  if state.is_open and state.expires > now then
    redis.call('ZADD', open_key, whole(state.expires), loop)
  elseif state.is_open and not state.announced then
    redis.call('ZADD', open_key, whole(now + lease), loop)
  elseif state.is_open then
    end_loop(loop, state)
    write_state(loop, state)
  else
    redis.call('ZREM', open_key, loop)
  end
end
local taken = {}
for _, opening in ipairs(redis.call('ZRANGEBYSCORE', ended_order_key, '-inf', whole(now), 'LIMIT', 0, limit)) do
  local ended = redis.call('HGET', ended_key, opening)
  if ended then
    redis.call('ZADD', ended_order_key, whole(now + lease), opening)
    taken[#taken + 1] = ended
  else
    redis.call('ZREM', ended_order_key, opening)
  end
end
return taken
