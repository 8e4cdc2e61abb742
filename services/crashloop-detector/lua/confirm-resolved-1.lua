--[[
  Notes that the end of a loop is announced. ledger.lua stands before it.

  KEYS[1]  prefix of all keys, see ledger.lua
  ARGV[1]  opening

  Returns  1, or 0 when it was noted before
]]
redis.call('ZREM', ended_order_key, ARGV[1])
return redis.call('HDEL', ended_key, ARGV[1])
