--[[
  Records what one event proves about one task, and decides whether to announce a crash loop, in one step.
  src/ledger/decide.ts says the same in TypeScript; the contract suite holds this script to it.

  Steps:
    1. keep the links between allocations, find the root of the lineage
    2. fill in the restarts that lie between what was known and what is visible
    3. record the crashes by their identity, take out restarts that turn out to be requested
    4. a gap as long as the interval ends the loop; drop what has left the window
    5. repeat an unconfirmed claim of this event, or claim the announcement that is due, or say late, or nothing

  KEYS[1]  prefix of all keys (single Redis, not Cluster: the other keys are made here)
             <prefix>allocation:<allocation>  hash: parent, low/<task>, high/<task>: the restarts accounted for
             <prefix>crashes:<loop>           sorted set: crash identity by time in microseconds
             <prefix>details:<loop>           hash: crash identity to "v" (visible) or "f" (filled in) and its detail
             <prefix>loop:<loop>              hash: newest, lastEvent, lastEventAt, openedAt, and the claim: claimedBy, claimStatus, claimOpenedAt, claimAt, confirmed
  ARGV[1]  observation as JSON (src/ledger/ledger.ts)
  ARGV[2]  crashes that make a loop
  ARGV[3]  interval, microseconds
  ARGV[4]  notification interval, microseconds
  ARGV[5]  seconds until keys expire
  ARGV[6]  most crashes kept of one loop

  Returns  { action: none | late | opened | ongoing, restarts, hidden, failures, requested newly recorded }
           and for opened and ongoing also { loop, openedAt, announcedAt, last event, details of the crashes in the window, oldest first ... }
]]
local prefix = KEYS[1]
local seen = cjson.decode(ARGV[1])
local threshold, interval, notification = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local ttl, cap = ARGV[5], tonumber(ARGV[6])

-- n.b. Lua's own number format keeps 14 digits; times have 16.
local function whole(number)
  return string.format('%.0f', number)
end

local function allocation_key(allocation)
  return prefix .. 'allocation:' .. allocation
end

local function root_of(allocation)
  local root, visited, walked = allocation, {}, { [allocation] = true }
  while true do
    local parent = redis.call('HGET', allocation_key(root), 'parent')
    if not parent or walked[parent] then break end
    visited[#visited + 1] = root
    walked[parent] = true
    root = parent
  end
  for _, child in ipairs(visited) do
    redis.call('HSET', allocation_key(child), 'parent', root)
    redis.call('EXPIRE', allocation_key(child), ttl)
  end
  return root
end

-- 1. lineage
local loop = seen.group
if seen.followLineage then
  for _, link in ipairs(seen.links) do
    if link.child ~= link.parent then
      redis.call('HSETNX', allocation_key(link.child), 'parent', link.parent)
      redis.call('EXPIRE', allocation_key(link.child), ttl)
    end
  end
  loop = loop .. '/' .. root_of(seen.allocation)
end
local crashes_key, details_key, loop_key = prefix .. 'crashes:' .. loop, prefix .. 'details:' .. loop, prefix .. 'loop:' .. loop
local identity = seen.allocation .. '/' .. seen.task .. '#'

-- 2. hidden restarts
local found, requested = {}, {}
local recorded = { restarts = 0, hidden = 0, failures = 0, requested = 0 }

local function add(id, crash, kind)
  found[#found + 1] = { id = id, time = crash.timeUs, detail = crash.detail, kind = kind }
end

local function fill(from, to, nearest)
  if nearest.kind ~= 'crash' then return end
  for number = from, to do add(identity .. whole(number), nearest, 'hidden') end
end

local restarts = seen.restarts
if #restarts > 0 then
  local key, low_field, high_field = allocation_key(seen.allocation), 'low/' .. seen.task, 'high/' .. seen.task
  local first, last = restarts[1], restarts[#restarts]
  local known = redis.call('HGET', key, low_field)
  local low = tonumber(known or first.number)
  local high = tonumber(redis.call('HGET', key, high_field) or last.number)
  fill(math.max(high + 1, first.number - cap), first.number - 1, first)
  fill(last.number + 1, math.min(low - 1, last.number + cap), last)
  for _, restart in ipairs(restarts) do
    local id = identity .. whole(restart.number)
    if restart.kind == 'crash' then
      add(id, restart, 'restarts')
    else
      requested[#requested + 1] = id
      if not known or restart.number < low or restart.number > high then recorded.requested = recorded.requested + 1 end
    end
  end
  redis.call('HSET', key, low_field, whole(math.min(low, first.number)), high_field, whole(math.max(high, last.number)))
  redis.call('EXPIRE', key, ttl)
end
if seen.failure ~= cjson.null then add(identity .. 'failed', seen.failure, 'failures') end

-- 3. crashes
local newest_before = tonumber(redis.call('HGET', loop_key, 'newest') or '-1')
local newest, newest_found = newest_before, -1
for _, crash in ipairs(found) do
  newest_found = math.max(newest_found, crash.time)
end
newest = math.max(newest, newest_found)

for _, id in ipairs(requested) do
  redis.call('ZREM', crashes_key, id)
  redis.call('HDEL', details_key, id)
end
for _, crash in ipairs(found) do
  if crash.time > newest - interval then
    local hidden = crash.kind == 'hidden'
    local before = redis.call('HGET', details_key, crash.id)
    local change
    if not before then
      recorded[crash.kind] = recorded[crash.kind] + 1
      change = true
    elseif hidden then
      change = false
    else
      change = string.sub(before, 1, 1) == 'f' or crash.time < tonumber(redis.call('ZSCORE', crashes_key, crash.id))
    end
    if change then
      redis.call('ZADD', crashes_key, whole(crash.time), crash.id)
      redis.call('HSET', details_key, crash.id, (hidden and 'f' or 'v') .. crash.detail)
    end
  end
end

-- 4. the window
local state = {}
local fields = { 'openedAt', 'claimedBy', 'claimStatus', 'claimOpenedAt', 'claimAt', 'confirmed', 'lastEvent', 'lastEventAt' }
for position, value in ipairs(redis.call('HMGET', loop_key, unpack(fields))) do state[fields[position]] = value end

if newest > newest_before then
  table.sort(found, function(a, b) return a.time < b.time end)
  local previous = newest_before
  for _, crash in ipairs(found) do
    if crash.time > previous then
      if crash.time - previous >= interval then state.openedAt = false end
      previous = crash.time
    end
  end
  redis.call('HSET', loop_key, 'newest', whole(newest))
  if not state.openedAt then redis.call('HDEL', loop_key, 'openedAt') end
end
if seen.lastEvent ~= cjson.null and newest_found > tonumber(state.lastEventAt or '-1') then
  state.lastEvent = seen.lastEvent
  redis.call('HSET', loop_key, 'lastEvent', seen.lastEvent, 'lastEventAt', whole(newest_found))
end

local function drop(ids)
  for _, id in ipairs(ids) do
    redis.call('ZREM', crashes_key, id)
    redis.call('HDEL', details_key, id)
  end
end
drop(redis.call('ZRANGEBYSCORE', crashes_key, '-inf', whole(newest - interval)))
local count = redis.call('ZCARD', crashes_key)
if count > cap then
  drop(redis.call('ZRANGE', crashes_key, 0, count - cap - 1))
  count = cap
end
redis.call('EXPIRE', crashes_key, ttl)
redis.call('EXPIRE', details_key, ttl)
redis.call('EXPIRE', loop_key, ttl)

-- 5. the decision
local answer = { 'none', recorded.restarts, recorded.hidden, recorded.failures, recorded.requested }

local function announce(status, opened_at, announced_at)
  answer[1] = status
  answer[6], answer[7], answer[8], answer[9] = loop, opened_at, announced_at, state.lastEvent or ''
  local ids = redis.call('ZRANGE', crashes_key, 0, -1)
  for _, id in ipairs(ids) do
    answer[#answer + 1] = string.sub(redis.call('HGET', details_key, id), 2)
  end
  return answer
end

if state.claimedBy == seen.eventId and state.confirmed ~= '1' then
  return announce(state.claimStatus, state.claimOpenedAt, state.claimAt)
end
if count < threshold then return answer end
if state.openedAt and newest - tonumber(state.claimAt) < notification then return answer end
if seen.modifiedAtUs - newest >= interval then
  if recorded.restarts + recorded.hidden + recorded.failures > 0 then answer[1] = 'late' end
  return answer
end
local status = state.openedAt and 'ongoing' or 'opened'
local opened_at = state.openedAt or whole(newest)
redis.call('HSET', loop_key, 'openedAt', opened_at, 'claimedBy', seen.eventId, 'claimStatus', status,
  'claimOpenedAt', opened_at, 'claimAt', whole(newest), 'confirmed', '0')
return announce(status, opened_at, whole(newest))
