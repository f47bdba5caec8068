-- What all scripts share. ARGV: the prefix, the tag of the bucket, the mark that we know, and more.
-- Written out in full in each script, because a server that was started anew knows none.
local prefix, tag, mark = ARGV[1], ARGV[2], ARGV[3]
local base = prefix .. tag
local MONTH, DAY = 2592000, 86400

local function fail(code)
  return redis.error_reply(code)
end

-- The mark says that these are the data that we know; after it may stand an F: closed to writing.
local function refusal(writing)
  local kept = redis.call('GET', base .. 'm')
  if kept == false or string.sub(kept, 1, 32) ~= mark then
    return fail('DEMURLOST the mark is not there')
  end
  if writing and #kept > 32 then
    return fail('DEMURFROZEN closed to writing')
  end
  return nil
end

-- Whoever tracks this prefix is told the key's name. Nothing is left of it.
local function tell(what)
  local key = prefix .. '!' .. tag .. what
  redis.call('SET', key, '')
  redis.call('DEL', key)
end

-- Kept by the server itself at least until then by the caller's clock, and by its own.
local function keep(key, row, at)
  local time = tonumber(redis.call('TIME')[1])
  redis.call('SET', key, row, 'EXAT', string.format('%.0f', math.max(at, time) + DAY))
end

-- What has to be looked at when its time has come, in lists of a minute; of a quarter of an hour in a Cluster, where
-- each bucket has its own.
local WIDTH = tag == '' and 60 or 900

local function later(entry, at)
  local minute = string.format('%.0f', at - at % WIDTH)
  if redis.call('RPUSH', base .. 'd' .. minute, entry) == 1 then
    redis.call('ZADD', base .. 'd', minute, minute)
  end
end

local function is_live(row)
  return row and string.byte(row) < 16
end

local function rest_of(row)
  return is_live(row) and string.sub(row, 20, 35) or string.sub(row, 7, 22)
end

-- The person of a live session: their length and token.
local function person_of(row)
  return string.sub(row, 36, 37 + struct.unpack('>I2', row, 36))
end

local function token_of(row)
  return string.sub(person_of(row), 3)
end

-- When its time is over, and by which limit: of both at once, by the idle one.
local function limit_of(row)
  local seen, expires, idle = struct.unpack('>I5I5I4', row, 2)
  if idle > 0 and seen + idle <= expires then
    return seen + idle, 1
  end
  return expires, 2
end

local function numbered(row)
  local time = redis.call('TIME')
  local order = (tonumber(time[1]) % 4096) * 1000000 + tonumber(time[2])
  return string.sub(row, 1, 15) .. struct.pack('>I4', order) .. string.sub(row, 20)
end

local function keep_live(half, row)
  local _, expires = struct.unpack('>I5I5', row, 2)
  keep(base .. 's' .. half, row, expires + MONTH)
end

local function keep_stone(half, row)
  keep(base .. 's' .. half, row, struct.unpack('>I5', row, 2) + MONTH)
end

-- A person's snapshot, unless a newer one is there ("same": or this version). Whether it was kept, and whether there was one.
local function keep_person(token, snapshot, same)
  local key = base .. 'p' .. token
  local old = redis.call('LINDEX', key, 0)
  if old == false then
    redis.call('RPUSH', key, snapshot)
    return true, false
  end
  local there, new = struct.unpack('>d', old), struct.unpack('>d', snapshot)
  if there > new or old == snapshot or (same and there == new) then
    return false, true
  end
  redis.call('LSET', key, 0, snapshot)
  return true, true
end

-- The same, and whether it was told of: it is when another one was there.
local function publish(token, snapshot, subject, same)
  local kept, known = keep_person(token, snapshot, same)
  if kept and known then
    tell('p' .. subject)
  end
  return kept, kept and known
end

-- One that would have lasted longer than its tombstone does has to be looked at before.
local function look_in_time(half, row, head)
  local over = struct.unpack('>I5', head, 2) + MONTH
  local limit = limit_of(row)
  if over < limit then
    later('s' .. half, over)
  end
end

local function bury(half, row, head)
  look_in_time(half, row, head)
  keep_stone(half, head .. rest_of(row) .. person_of(row))
  redis.call('LREM', base .. 'p' .. token_of(row), 0, half)
  tell('s' .. half .. rest_of(row))
end

local function keep_value(kind, key, row, at)
  local name = base .. kind .. key
  local old = redis.call('GET', name)
  keep(name, row, at)
  if old == false then
    later(kind .. key, at)
  else
    local before = struct.unpack('>d', old, kind == 'v' and 1 or 9)
    if before > at then
      later(kind .. key, at)
    end
  end
end
