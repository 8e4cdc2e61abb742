--[[
  How much the ledger holds. ledger.lua stands before it.

  KEYS[1]  prefix of all keys, see ledger.lua

  Returns  { lineages, open loops }
]]
return { redis.call('ZCARD', lineages_key), redis.call('ZCARD', open_key) }
