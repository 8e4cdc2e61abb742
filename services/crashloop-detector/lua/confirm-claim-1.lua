--[[
  Notes that the announcement of a claim is out, so that its event, seen again, does not repeat it. ledger.lua stands before it.

  Steps: find the loop, look whether its claim is still this one; if so, mark it. A loop that has ended meanwhile is to be announced as ended.

  KEYS[1]  prefix of all keys, see ledger.lua
  ARGV[1]  group
  ARGV[2]  allocation, empty when the group alone is counted
  ARGV[3]  id of the event that made the claim
  ARGV[4]  time of the newest crash when it was claimed, microseconds

  Returns  1 when marked, 0 when another claim has taken its place or it was marked before
]]
local loop = ARGV[1]
if ARGV[2] ~= '' then loop = locate(loop, ARGV[2], least_ttl) end
local state = read_state(loop)
if not state.has_claim or state.is_confirmed then return 0 end
local claim = read_claim(loop)
if claim.eventId ~= ARGV[3] or claim.at ~= ARGV[4] then return 0 end
state.is_confirmed = true
if state.is_open and read_opening(loop) == claim.opening then
  state.announced = true
elseif state.shown_at >= 0 then
  keep_ended(claim.opening, loop, state.ended)
end
write_state(loop, state)
return 1
