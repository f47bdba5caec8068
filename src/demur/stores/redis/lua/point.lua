-- ARGV: whether to point away from elsewhere (1), then for each id its half, its bucket, and until when; in a Cluster.
-- For each, the other bucket to which it points, if it does.
local refused = refusal(true)
if refused then return refused end
local elsewhere = {}
for at = 5, #ARGV, 3 do
  local key, bucket = base .. 'w' .. ARGV[at], ARGV[at + 1]
  local there = redis.call('GET', key)
  if there and there ~= bucket and ARGV[4] ~= '1' then
    elsewhere[#elsewhere + 1] = there
  else
    keep(key, bucket, struct.unpack('>d', ARGV[at + 2]) + MONTH)
    elsewhere[#elsewhere + 1] = false
  end
end
return elsewhere
