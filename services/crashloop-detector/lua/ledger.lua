--[[
  What the ledger's scripts share: names of keys, the state of a loop, its end, and lineages that turn out to be one.
  src/ledger/in-memory/join-lineages.ts and ledger-state.ts say the same in TypeScript; the contract suite compares them. Each script is this text and its own.

  KEYS[1]  prefix of all keys (single Redis, not Cluster: the other keys are made here)
             <prefix>allocation:<allocation>  hash: parent, root/<group>: the root found last
             <prefix>crashes:<loop>           sorted set: crash identity by time in microseconds
             <prefix>loop:<loop>              hash: state: see state_format; shown: text that nobody here looks into; opening: while the loop is open;
                                              claim: JSON of eventId, opening, at, status; range/<allocation>/<task>: epoch, low, high, newest, since
                                              crash/<identity>: "v" (visible) or "f" (filled in), time, detail
             <prefix>lineages                 sorted set: loop by the time of the last news
             <prefix>open                     sorted set: loop by a time before which it does not end; `expires` of the loop says when it does
             <prefix>ended                    hash: opening to an end that is not announced yet, as JSON
             <prefix>ended-order              sorted set: opening by the time until which the end is taken
           An opening is "<time of the crash that opened the loop> <key of the loop then>". Keys expire without news.
]]
local prefix = KEYS[1]
local lineages_key, open_key, ended_key, ended_order_key = prefix .. 'lineages', prefix .. 'open', prefix .. 'ended', prefix .. 'ended-order'
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
local least_ttl = 86400
local chunk = 1000

-- n.b. Lua's own number format keeps 14 digits; times have 16.
local function whole(number)
  return string.format('%.0f', number)
end

local function allocation_key(allocation) return prefix .. 'allocation:' .. allocation end
local function crashes_key(loop) return prefix .. 'crashes:' .. loop end
local function loop_key(loop) return prefix .. 'loop:' .. loop end

-- Values of many fields; Lua can pass only so many arguments at once.
local function read_fields(key, fields)
  if #fields == 0 then return {} end
  if #fields <= chunk then return redis.call('HMGET', key, unpack(fields)) end
  local values = {}
  for from = 1, #fields, chunk do
    for _, value in ipairs(redis.call('HMGET', key, unpack(fields, from, math.min(from + chunk - 1, #fields)))) do values[#values + 1] = value end
  end
  return values
end

-- The sum of the replies.
local function call_in_chunks(command, key, arguments)
  local sum = 0
  for from = 1, #arguments, chunk do
    sum = sum + redis.call(command, key, unpack(arguments, from, math.min(from + chunk - 1, #arguments)))
  end
  return sum
end

-- newest, ended, shown_at, touched, count: crashes in the window, oldest: none of them is older, expires, claimed_at, flags. One text, because each
-- field of a hash costs a look-up and each number in decimal a conversion. A count of -1 is looked up.
local state_format = '>ddddddddB'

local function unpack_state(packed)
  if not packed then
    return {
      newest = -1, ended = -1, shown_at = -1, touched = -1, count = 0, oldest = math.huge, expires = -1, claimed_at = -1,
      announced = false, is_open = false, has_claim = false, is_confirmed = false,
    }
  end
  local newest, ended, shown_at, touched, count, oldest, expires, claimed_at, flags = struct.unpack(state_format, packed)
  return {
    newest = newest, ended = ended, shown_at = shown_at, touched = touched, count = count, oldest = oldest, expires = expires, claimed_at = claimed_at,
    announced = bit.band(flags, 1) ~= 0, is_open = bit.band(flags, 2) ~= 0, has_claim = bit.band(flags, 4) ~= 0, is_confirmed = bit.band(flags, 8) ~= 0,
  }
end

local function pack_state(state)
  local flags = (state.announced and 1 or 0) + (state.is_open and 2 or 0) + (state.has_claim and 4 or 0) + (state.is_confirmed and 8 or 0)
  return struct.pack(
    state_format, state.newest, state.ended, state.shown_at, state.touched, state.count, state.oldest, state.expires, state.claimed_at, flags)
end

local function read_state(loop) return unpack_state(redis.call('HGET', loop_key(loop), 'state')) end
local function write_state(loop, state) redis.call('HSET', loop_key(loop), 'state', pack_state(state)) end
local function read_opening(loop) return redis.call('HGET', loop_key(loop), 'opening') end
local function read_claim(loop) return cjson.decode(redis.call('HGET', loop_key(loop), 'claim')) end

-- Details of the crashes in the window, oldest first.
local function crash_details(loop)
  local ids = redis.call('ZRANGE', crashes_key(loop), 0, -1)
  for position, id in ipairs(ids) do ids[position] = 'crash/' .. id end
  local details = read_fields(loop_key(loop), ids)
  for position, value in ipairs(details) do details[position] = string.sub(value, string.find(value, ' ', 1, true) + 1) end
  return details
end

-- Also what a loop that is open looks like to the outside.
local function describe_loop(opening, loop, newest)
  return { opening = opening, loop = loop, newest = whole(newest), shown = redis.call('HGET', loop_key(loop), 'shown'), crashes = crash_details(loop) }
end

local function keep_ended(opening, loop, newest)
  redis.call('HSET', ended_key, opening, cjson.encode(describe_loop(opening, loop, newest)))
  redis.call('ZADD', ended_order_key, 0, opening)
  redis.call('EXPIRE', ended_key, least_ttl)
  redis.call('EXPIRE', ended_order_key, least_ttl)
end

-- Closes the loop. Its end is to be announced when its beginning was; otherwise the claim goes on waiting for its event. The caller writes the state.
local function end_loop(loop, state)
  if not state.is_open then return end
  local key = loop_key(loop)
  redis.call('ZREM', open_key, loop)
  if state.announced and state.shown_at >= 0 then
    keep_ended(read_opening(loop), loop, state.newest)
    redis.call('HDEL', key, 'shown')
    state.shown_at = -1
    if state.has_claim and state.is_confirmed then
      redis.call('HDEL', key, 'claim')
      state.has_claim, state.is_confirmed, state.claimed_at = false, false, -1
    end
  end
  redis.call('HDEL', key, 'opening')
  state.is_open, state.announced, state.ended = false, false, state.newest
end

local function take_claim(kept, moved)
  kept.has_claim, kept.is_confirmed, kept.claimed_at = moved.has_claim, moved.is_confirmed, moved.claimed_at
end

-- Of two alerts that are open the older one stays; the other ends.
local function join_loop(from, into)
  if redis.call('EXISTS', loop_key(from)) == 0 then return end
  local moved, kept = read_state(from), read_state(into)
  if moved.is_open and kept.is_open then
    local moved_at, kept_at = tonumber(string.match(read_opening(from), '^%d+')), tonumber(string.match(read_opening(into), '^%d+'))
    if moved_at < kept_at then end_loop(into, kept) else end_loop(from, moved) end
  end
  local crashes = redis.call('ZRANGE', crashes_key(from), 0, -1, 'WITHSCORES')
  for position = 1, #crashes, 2 do crashes[position], crashes[position + 1] = crashes[position + 1], crashes[position] end
  call_in_chunks('ZADD', crashes_key(into), crashes)
  local fields = {}
  local function keep(name, value) fields[#fields + 1], fields[#fields + 2] = name, value end
  local all, values = redis.call('HGETALL', loop_key(from)), {}
  for position = 1, #all, 2 do
    local name, value = all[position], all[position + 1]
    values[name] = value
    if string.find(name, '/', 1, true) then keep(name, value) end
  end
  if moved.is_open then
    keep('opening', values.opening)
    keep('claim', values.claim)
    take_claim(kept, moved)
    kept.is_open, kept.announced, kept.expires = true, moved.announced, math.max(moved.expires, kept.expires)
    redis.call('ZADD', open_key, whole(kept.expires), into)
  elseif moved.has_claim and not kept.has_claim then
    keep('claim', values.claim)
    take_claim(kept, moved)
  end
  if moved.shown_at > kept.shown_at then
    kept.shown_at = moved.shown_at
    keep('shown', values.shown)
  end
  kept.newest, kept.ended, kept.count, kept.oldest = math.max(moved.newest, kept.newest), math.max(moved.ended, kept.ended), -1, -1
  keep('state', pack_state(kept))
  call_in_chunks('HSET', loop_key(into), fields)
  redis.call('DEL', loop_key(from), crashes_key(from))
  redis.call('ZREM', open_key, from)
  redis.call('ZREM', lineages_key, from)
end

-- The key of the loop, after what is known of lineages: follows the links up and remembers where they lead, so that the next time is short.
local function locate(group, allocation, ttl)
  local field = 'root/' .. group
  local root, visited, walked = allocation, {}, { [allocation] = true }
  while true do
    local known = redis.call('HMGET', allocation_key(root), field, 'parent')
    local above = known[1] or known[2]
    if not above or walked[above] then break end
    visited[#visited + 1] = { root, known[1] }
    walked[above] = true
    root = above
  end
  local loop = group .. '/' .. root
  for _, step in ipairs(visited) do
    if step[2] ~= root then
      redis.call('HSET', allocation_key(step[1]), field, root)
      redis.call('EXPIRE', allocation_key(step[1]), ttl)
      join_loop(group .. '/' .. step[1], loop)
    end
  end
  return loop
end
