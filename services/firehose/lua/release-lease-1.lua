--[[
  Gives the lease back, if it is the asker's.

  KEYS[1]  the lease's hash
  ARGV     holder

  Returns: 1 when it was given back, 0 when it was not the asker's
]]
if redis.call('HGET', KEYS[1], 'holder') ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
