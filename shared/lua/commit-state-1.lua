--[[
  Applies changes of entries, all or none: none when an entry that they rest on is not what it was when it was read. Knows no rule: values are texts that it does not look into.

  Steps: compare the versions; apply the changes; where a kind has got a new entry, drop what has expired among its oldest ones and evict what is above its limit.

  KEYS[1]  prefix of the store; beside the entries lie, by kind, <prefix>due:<kind> (names by deadline) and <prefix>used:<kind> (names by the time of their last commit)
  KEYS[2]  and on: the entries, those that change first. A name is a key without the prefix, its kind stands before the slash

  ARGV[1]  now, milliseconds
  ARGV[2]  limits of all kinds: "loop=100000 end=1000"
  ARGV[3]  number of changes
  ARGV[4]  and on: for each entry the begin of its value as it was read, empty when there was none;
           then for each change: value (empty: delete), milliseconds until it expires, deadline (empty: none, "=": as it was)

  Returns  { kind, number of entries evicted ... }, or nil when an entry has changed
]]
local prefix, now, changes = KEYS[1], ARGV[1], tonumber(ARGV[3])
for i = 2, #KEYS do
  local expected = ARGV[i + 2]
  if expected == '' then
    if redis.call('EXISTS', KEYS[i]) == 1 then return nil end
  elseif redis.call('GETRANGE', KEYS[i], 0, #expected - 1) ~= expected then
    return nil
  end
end

local grown, at = {}, #KEYS + 3
for i = 2, changes + 1 do
  local key, value, ttl, deadline = KEYS[i], ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local name = string.sub(key, #prefix + 1)
  local kind = string.match(name, '^[^/]+')
  local due, used = prefix .. 'due:' .. kind, prefix .. 'used:' .. kind
  if value == '' then
    redis.call('DEL', key)
    redis.call('ZREM', due, name)
    redis.call('ZREM', used, name)
  else
    redis.call('SET', key, value, 'PX', ttl)
    redis.call('ZADD', used, now, name)
    if deadline == '' then redis.call('ZREM', due, name) elseif deadline ~= '=' then redis.call('ZADD', due, deadline, name) end
    if ARGV[i + 2] == '' then grown[kind] = true end
  end
  at = at + 3
end

local evicted = {}
for kind, limit in string.gmatch(ARGV[2], '(%S+)=(%d+)') do
  local due, used = prefix .. 'due:' .. kind, prefix .. 'used:' .. kind
  local function drop(names)
    for _, name in ipairs(names) do
      redis.call('DEL', prefix .. name)
      redis.call('ZREM', due, name)
      redis.call('ZREM', used, name)
    end
  end
  if grown[kind] then
    local expired = {}
    for _, name in ipairs(redis.call('ZRANGE', used, 0, 1)) do
      if redis.call('EXISTS', prefix .. name) == 0 then expired[#expired + 1] = name end
    end
    drop(expired)
    local excess = math.min(redis.call('ZCARD', used) - limit, 1000)
    if excess > 0 then
      drop(redis.call('ZRANGE', used, 0, excess - 1))
      evicted[#evicted + 1] = kind
      evicted[#evicted + 1] = excess
    end
  end
end
return evicted
