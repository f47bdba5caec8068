-- ARGV: now, the actor, how many at once. Those that were put aside become tombstones, dated at their limit.
local refused = refusal(true)
if refused then return refused end
local now, actor = tonumber(ARGV[4]), tonumber(ARGV[5])
local aside = redis.call('LPOP', base .. 't', ARGV[6]) or {}
local turned = {}
for _, entry in ipairs(aside) do
  local half = string.sub(entry, 2)
  local row = redis.call('GET', base .. entry)
  if is_live(row) then
    local limit, how = limit_of(row)
    if limit <= now then
      bury(half, row, string.char(16 * how + actor) .. struct.pack('>I5', limit))
      turned[#turned + 1] = half .. rest_of(row)
      limit = limit + MONTH
    end
    later(entry, limit)
  elseif row then
    later(entry, struct.unpack('>I5', row, 2) + MONTH)
  end
end
return {turned, #aside}
