--[[
  What loops now and was announced. Reads only. ledger.lua stands before it.

  KEYS[1]  prefix of all keys, see ledger.lua
  ARGV[1]  most loops; those that end last are given

  Returns  the loops as JSON, see describe_loop in ledger.lua
]]
local loops = {}
for _, loop in ipairs(redis.call('ZREVRANGE', open_key, 0, tonumber(ARGV[1]) - 1)) do
  local state = read_state(loop)
  if state.is_open and state.announced and state.shown_at >= 0 then loops[#loops + 1] = cjson.encode(describe_loop(read_opening(loop), loop, state.newest)) end
end
return loops
