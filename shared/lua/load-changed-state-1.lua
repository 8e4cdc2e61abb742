--[[
  Loads entries, without those that the caller knows as they are.

  KEYS     the entries
  ARGV     for each of them the begin of its value as it is known, empty when it is not

  Returns  for each of them its value, nil when there is none, 1 when it is as it is known
]]
local found = {}
for i, key in ipairs(KEYS) do
  local known = ARGV[i]
  if known ~= '' and redis.call('GETRANGE', key, 0, #known - 1) == known then
    found[i] = 1
  else
    found[i] = redis.call('GET', key)
  end
end
return found
