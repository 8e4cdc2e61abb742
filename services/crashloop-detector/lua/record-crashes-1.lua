--[[
  Records what some events prove, each about one task, and decides for each whether to announce a crash loop, all in one step.
  src/ledger/in-memory/decide.ts says the same in TypeScript; the contract suite holds this script to them. ledger.lua and number-restarts.lua stand before it.

  Steps, for each observation:
    1. keep the links between allocations, find the loop; a new one may take the place of the one with the oldest news
    2. number the restarts, fill in those that lie between what was known and what is visible
    3. a gap as long as the interval ends the loop
    4. record the crashes by their identity, take out restarts that turn out to be requested, drop what has left the window
    5. repeat an unconfirmed claim of this event, or claim the announcement that is due, or say late, or nothing

  KEYS[1]  prefix of all keys, see ledger.lua
  ARGV[1]  list of observations as JSON (src/ledger/ledger.ts), each a list: event id, group, whether to follow the lineage, allocation, task, modified at,
           position of its rule, links { child, parent ... }, restarts { number, 1 for a crash, time ... }, timed { at, 1 for a failure, time ... },
           time of the failure. 0 stands for a list without members and for no failure. Times are texts, because they are written as they came
  ARGV[2]  list of rules as JSON, each a list: count, interval, notification interval (microseconds), seconds until keys expire, most crashes of a loop
  ARGV[3]  most lineages
  ARGV[4]  and on, for each observation: how the loop is shown, empty when nothing in it counts; details of the restarts, of the timed, of the failure.
           Texts that nobody here looks into stand apart, because reading JSON costs

  Returns  for each observation the text "<action> <restarts> <hidden> <failures> <requested> <forgotten>": none or late, and what is newly recorded;
           for opened and ongoing a list of that text, opening, announcedAt, how the loop is shown, details of the crashes in the window, oldest first ...;
           { error, text } when that one could not be recorded
]]
local max_lineages = tonumber(ARGV[3])
local touch_every = 10 * 1000000

local function keep_links(links, ttl)
  for position = 1, #links, 2 do
    local child, parent = links[position], links[position + 1]
    if child ~= parent then
      redis.call('HSETNX', allocation_key(child), 'parent', parent)
      redis.call('EXPIRE', allocation_key(child), ttl)
    end
  end
end

-- Notes that there was news, and gives the number of lineages that had to make room.
local function touch(loop, ttl, is_new)
  redis.call('ZADD', lineages_key, whole(now), loop)
  for _, key in ipairs({ lineages_key, open_key, loop_key(loop), crashes_key(loop) }) do redis.call('EXPIRE', key, ttl) end
  if not is_new then return 0 end
  redis.call('ZREMRANGEBYSCORE', lineages_key, '-inf', whole(now - ttl * 1000000))
  local excess = redis.call('ZCARD', lineages_key) - max_lineages
  if excess <= 0 then return 0 end
  local oldest = redis.call('ZPOPMIN', lineages_key, math.min(excess, chunk))
  for position = 1, #oldest, 2 do
    redis.call('DEL', loop_key(oldest[position]), crashes_key(oldest[position]))
    redis.call('ZREM', open_key, oldest[position])
  end
  return #oldest / 2
end

local function has_gap(found, newest_before, interval)
  if #found == 1 then return found[1].timeUs - newest_before >= interval end
  local times = {}
  for _, crash in ipairs(found) do
    if crash.timeUs > newest_before then times[#times + 1] = crash.timeUs end
  end
  table.sort(times)
  local previous = newest_before
  for _, time in ipairs(times) do
    if time - previous >= interval then return true end
    previous = time
  end
  return false
end

-- What is known of the loop, of the numbers of the task's restarts, and of the crashes found: all in one call when the numbers are not needed for it.
local function read_loop(loop, seen, recorded)
  local key = loop_key(loop)
  if #seen.restarts > 0 then
    local range_field = 'range/' .. seen.allocation .. '/' .. seen.task
    local values = redis.call('HMGET', key, 'state', range_field)
    local found, requested, range = number_restarts(seen, values[2], recorded)
    local names = {}
    for position, crash in ipairs(found) do names[position] = 'crash/' .. crash.id end
    return unpack_state(values[1]), found, names, read_fields(key, names), requested, range ~= values[2] and { range_field, range } or {}
  end
  local found, requested = number_restarts(seen, nil, recorded)
  local names = {}
  for position, crash in ipairs(found) do names[position] = 'crash/' .. crash.id end
  names[#names + 1] = 'state'
  local known = read_fields(key, names)
  return unpack_state(known[#names]), found, names, known, requested, {}
end

-- Puts what is new into the window, adds the fields that are to be written, and counts.
local function record_crashes(loop, state, seen, found, names, known, limit, recorded, fields)
  local added, pending = {}, {}
  for position, crash in ipairs(found) do
    if crash.timeUs > limit then
      local hidden, name = crash.kind == 'hidden', names[position]
      local before = pending[name] or known[position]
      local change = false
      if not before then
        recorded[crash.kind] = recorded[crash.kind] + 1
        change = true
      elseif not hidden then
        change = string.sub(before, 1, 1) == 'f' or crash.timeUs < tonumber(string.match(before, '^.(%d+)'))
      end
      if change then
        local value = (hidden and 'f' or 'v') .. crash.at .. ' ' .. crash.detail
        pending[name] = value
        added[#added + 1], added[#added + 2] = crash.at, crash.id
        fields[#fields + 1], fields[#fields + 2] = name, value
        state.oldest = math.min(state.oldest, crash.timeUs)
      end
    end
  end
  if #added == 0 then return end
  local key = crashes_key(loop)
  local count = call_in_chunks('ZADD', key, added)
  if state.count <= 0 then redis.call('EXPIRE', key, seen.rule.ttl) end
  if state.count >= 0 then state.count = state.count + count end
end

-- Restarts that turn out to be requested are no crashes.
local function take_out(loop, state, requested, known, names)
  if #requested == 0 or call_in_chunks('ZREM', crashes_key(loop), requested) == 0 then return end
  for _, id in ipairs(requested) do
    redis.call('HDEL', loop_key(loop), 'crash/' .. id)
    for position, name in ipairs(names) do
      if name == 'crash/' .. id then known[position] = false end
    end
  end
  state.count = -1
end

-- Drops what has left the window and the oldest above the cap; gives the fields that are to be deleted.
local function trim(loop, state, limit, cap)
  local dropped, key = {}, crashes_key(loop)
  local function drop(ids)
    call_in_chunks('ZREM', key, ids)
    for _, id in ipairs(ids) do dropped[#dropped + 1] = 'crash/' .. id end
  end
  if state.oldest <= limit then
    drop(redis.call('ZRANGEBYSCORE', key, '-inf', whole(limit)))
    state.count = -1
    state.oldest = tonumber(redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] or '-1')
  end
  if state.count < 0 then state.count = redis.call('ZCARD', key) end
  if state.count > cap then
    drop(redis.call('ZRANGE', key, 0, state.count - cap - 1))
    state.count = cap
  end
  return dropped
end

-- The announcement that is due: its action, and its claim when there is one, which is added to `fields` when it is new.
local function announcement_due(loop, state, seen, recorded, fields)
  local rule, newest = seen.rule, state.newest
  if state.has_claim and not state.is_confirmed then
    local claim = read_claim(loop)
    if claim.eventId == seen.eventId then return state.shown_at < 0 and 'none' or claim.status, claim end
  end
  if state.count < rule.count or state.shown_at < 0 then return 'none' end
  if not state.is_open and newest <= state.ended then return 'none' end
  if state.is_open and state.has_claim and newest - state.claimed_at < rule.notification then return 'none' end
  if seen.modifiedAtUs - newest >= rule.interval then return recorded.restarts + recorded.hidden + recorded.failures > 0 and 'late' or 'none' end
  local opening = state.is_open and read_opening(loop) or whole(newest) .. ' ' .. loop
  local claim = { eventId = seen.eventId, opening = opening, at = whole(newest), status = state.announced and 'ongoing' or 'opened' }
  state.is_open, state.has_claim, state.is_confirmed, state.claimed_at = true, true, false, newest
  for _, text in ipairs({ 'opening', opening, 'claim', cjson.encode(claim) }) do fields[#fields + 1] = text end
  return claim.status, claim, true
end

-- Keeps when the open loop ends unless another crash comes.
local function expect_end(loop, state, seen, is_new_claim)
  local newest, before = state.newest, state.expires
  state.expires = now + math.max(0, newest + seen.rule.interval - math.max(newest, seen.modifiedAtUs))
  if not is_new_claim and state.expires >= before then return end
  if redis.call('ZADD', open_key, whole(state.expires), loop) == 1 then redis.call('EXPIRE', open_key, seen.rule.ttl) end
end

local function record(seen, shown)
  local rule, interval, loop = seen.rule, seen.rule.interval, seen.group
  if seen.followLineage then
    keep_links(seen.links, rule.ttl)
    loop = locate(seen.group, seen.allocation, rule.ttl)
  end
  local recorded = { restarts = 0, hidden = 0, failures = 0, requested = 0 }
  local state, found, names, known, requested, fields = read_loop(loop, seen, recorded)
  local before, newest_found = state.newest, -1
  for _, crash in ipairs(found) do newest_found = math.max(newest_found, crash.timeUs) end
  if has_gap(found, before, interval) then end_loop(loop, state) end
  local newest = math.max(before, newest_found)
  state.newest = newest
  take_out(loop, state, requested, known, names)
  record_crashes(loop, state, seen, found, names, known, newest - interval, recorded, fields)
  local dropped = trim(loop, state, newest - interval, rule.cap)
  if shown ~= '' and state.count >= rule.count and newest_found > state.shown_at then
    state.shown_at = newest_found
    fields[#fields + 1], fields[#fields + 2] = 'shown', shown
  end
  local action, claim, is_new_claim = announcement_due(loop, state, seen, recorded, fields)
  if state.is_open and (newest > before or is_new_claim) then expect_end(loop, state, seen, is_new_claim) end
  local is_new, is_due_to_touch = state.touched < 0, now - state.touched > touch_every
  if is_due_to_touch then state.touched = now end
  fields[#fields + 1], fields[#fields + 2] = 'state', pack_state(state)
  call_in_chunks('HSET', loop_key(loop), fields)
  if #dropped > 0 then call_in_chunks('HDEL', loop_key(loop), dropped) end
  local forgotten = is_due_to_touch and touch(loop, rule.ttl, is_new) or 0
  local answer = table.concat({ action, recorded.restarts, recorded.hidden, recorded.failures, recorded.requested, forgotten }, ' ')
  if action ~= 'opened' and action ~= 'ongoing' then return answer end
  answer = { answer, claim.opening, claim.at, redis.call('HGET', loop_key(loop), 'shown') }
  for _, detail in ipairs(crash_details(loop)) do answer[#answer + 1] = detail end
  return answer
end

local rules = {}
for position, written in ipairs(cjson.decode(ARGV[2])) do
  rules[position] = { count = written[1], interval = written[2], notification = written[3], ttl = written[4], cap = written[5] }
end
local none = {}

-- The observation, and where the texts of the next one begin.
local function read_observation(written, at)
  local detail, restarts, timed = at + 1, none, none
  if written[9] ~= 0 then
    restarts = {}
    for position = 1, #written[9], 3 do
      local number, counts, time = written[9][position], written[9][position + 1], written[9][position + 2]
      restarts[#restarts + 1] = { number = number, kind = counts == 1 and 'crash' or 'requested', timeUs = tonumber(time), at = time, detail = ARGV[detail] }
      detail = detail + 1
    end
  end
  if written[10] ~= 0 then
    timed = {}
    for position = 1, #written[10], 3 do
      local id, failed, time = written[10][position], written[10][position + 1], written[10][position + 2]
      timed[#timed + 1] = { id = id, kind = failed == 1 and 'failures' or 'restarts', timeUs = tonumber(time), at = time, detail = ARGV[detail] }
      detail = detail + 1
    end
  end
  local failure = nil
  if written[11] ~= 0 then
    failure = { timeUs = tonumber(written[11]), at = written[11], detail = ARGV[detail] }
    detail = detail + 1
  end
  return {
    eventId = written[1], group = written[2], followLineage = written[3], allocation = written[4], task = written[5], modifiedAtUs = written[6], rule = rules[written[7]],
    links = written[8] == 0 and none or written[8], restarts = restarts, timed = timed, failure = failure,
  }, detail
end

local answers, texts = {}, 4
for position, written in ipairs(cjson.decode(ARGV[1])) do
  local seen, next_texts = read_observation(written, texts)
  local done, answer = pcall(record, seen, ARGV[texts])
  texts = next_texts
  answers[position] = done and answer or { 'error', type(answer) == 'table' and answer.err or tostring(answer) }
end
return answers
