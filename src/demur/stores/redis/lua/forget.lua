-- ARGV: now, from which minute on, how many entries of that minute are left to look at (-1: not known), how many at once.
-- What is over is forgotten, sessions past their limits are put aside, the rest is put where it belongs.
local refused = refusal(true)
if refused then return refused end
local now, from, left, most = tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7])
local due = redis.call('ZRANGE', base .. 'd', from, string.format('%.0f', now), 'BYSCORE', 'LIMIT', 0, 1)
if #due == 0 then
  return {0, '', 0}
end
local minute = due[1]
local list = base .. 'd' .. minute
if minute ~= from or left < 0 then
  left = redis.call('LLEN', list)
end
local count, looked = 0, 0
for _, entry in ipairs(redis.call('LPOP', list, math.min(left, most)) or {}) do
  looked = looked + 1
  local kind = string.sub(entry, 1, 1)
  local row = redis.call('GET', base .. entry)
  if row and kind == 's' then
    if is_live(row) then
      local limit = limit_of(row)
      if limit <= now then redis.call('RPUSH', base .. 't', entry) else later(entry, limit) end
    else
      local over = struct.unpack('>I5', row, 2) + MONTH
      if over <= now then
        redis.call('DEL', base .. entry)
        count = count + 1
      else
        later(entry, over)
      end
    end
  elseif row then
    local until_ = struct.unpack('>d', row, kind == 'v' and 1 or 9)
    if until_ <= now then
      redis.call('DEL', base .. entry)
      count = count + 1
    else
      later(entry, until_)
    end
  end
end
left = left - looked
if redis.call('EXISTS', list) == 0 then
  redis.call('ZREM', base .. 'd', minute)
  left = 0
end
if left <= 0 or looked == 0 then
  return {count, string.format('%.0f', tonumber(minute) + WIDTH), -1}
end
return {count, minute, left}
