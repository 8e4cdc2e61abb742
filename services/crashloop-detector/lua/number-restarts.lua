--[[
  Gives observed crashes their identities, and accounts for restarts that Nomad no longer showed; src/ledger/in-memory/number-restarts.ts says why, and the same.
  Stands between ledger.lua and record-crashes-1.lua.
]]
-- Which epoch the restarts belong to, what is accounted for after them, and the limits of the hidden ones before and after.
local function account(restarts, range, cap)
  local first, last = restarts[1], restarts[#restarts]
  local newest = -1
  for _, restart in ipairs(restarts) do newest = math.max(newest, restart.timeUs) end
  local known
  if range then
    local epoch, low, high, latest, since = string.match(range, '^(%S+) (%S+) (%S+) (%S+) (%S+)$')
    known = { epoch = tonumber(epoch), low = tonumber(low), high = tonumber(high), newest = tonumber(latest), since = tonumber(since) }
  end
  local function written(epoch, low, high, latest, since)
    return table.concat({ whole(epoch), whole(low), whole(high), whole(latest), whole(since) }, ' ')
  end
  if not known or (last.number < known.high and newest > known.newest) then
    local epoch, since = known and known.epoch + 1 or 0, known and first.timeUs or -1
    return { epoch = epoch, range = written(epoch, first.number, last.number, newest, since), before = { 1, 0 }, after = { 1, 0 }, low = math.huge, high = -1 }
  end
  if newest < known.since then return { epoch = known.epoch - 1, range = range, before = { 1, 0 }, after = { 1, 0 }, low = -1, high = math.huge } end
  return {
    epoch = known.epoch, low = known.low, high = known.high,
    range = written(known.epoch, math.min(known.low, first.number), math.max(known.high, last.number), math.max(known.newest, newest), known.since),
    before = { math.max(known.high + 1, first.number - cap), first.number - 1 }, after = { last.number + 1, math.min(known.low - 1, last.number + cap) },
  }
end

-- Which task of which allocation, as identities begin: without the cluster, which is that of the whole loop. Redis keeps a small sorted set in a tenth of
-- the memory while no member has more than 64 bytes.
local function short_name(seen)
  return (string.match(seen.allocation, '^[^/]*/(.+)$') or seen.allocation) .. '/' .. seen.task
end

local function number_restarts(seen, range, recorded)
  local own, found, requested = short_name(seen), {}, {}
  local function add(id, crash, kind) found[#found + 1] = { id = id, timeUs = crash.timeUs, at = crash.at, detail = crash.detail, kind = kind } end
  local restarts = seen.restarts
  if #restarts > 0 then
    local numbering = account(restarts, range, seen.rule.cap)
    range = numbering.range
    local identity = own .. '#' .. (numbering.epoch == 0 and '' or whole(numbering.epoch) .. '.')
    local function fill(limits, like)
      if like.kind ~= 'crash' then return end
      for number = limits[1], limits[2] do add(identity .. whole(number), like, 'hidden') end
    end
    fill(numbering.before, restarts[1])
    fill(numbering.after, restarts[#restarts])
    for _, restart in ipairs(restarts) do
      local id = identity .. whole(restart.number)
      if restart.kind == 'crash' then
        add(id, restart, 'restarts')
      else
        requested[#requested + 1] = id
        if restart.number < numbering.low or restart.number > numbering.high then recorded.requested = recorded.requested + 1 end
      end
    end
  end
  for _, crash in ipairs(seen.timed) do
    crash.id = own .. '@' .. crash.id
    found[#found + 1] = crash
  end
  if seen.failure then add(own .. '#failed', seen.failure, 'failures') end
  return found, requested, range
end
