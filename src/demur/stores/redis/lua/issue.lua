-- ARGV: half of the id, row, token, snapshot, subject.
local refused = refusal(true)
if refused then return refused end
local half, row, token, snapshot, subject = ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
if redis.call('EXISTS', base .. 's' .. half) == 1 then
  return 0
end
local _, replaced = publish(token, snapshot, subject, false)
keep_live(half, numbered(row))
redis.call('RPUSH', base .. 'p' .. token, half)
later('s' .. half, limit_of(row))
return replaced and 2 or 1
