-- ARGV: state, head, the id to keep, what to tell, tokens. How many ended.
local refused = refusal(true)
if refused then return refused end
local state, head, spared, told = tonumber(ARGV[4]), ARGV[5], ARGV[6], ARGV[7]
local count = 0
for at = 8, #ARGV do
  local key = base .. 'p' .. ARGV[at]
  local left, ended = {}, 0
  for _, half in ipairs(redis.call('LRANGE', key, 1, -1)) do
    local row = redis.call('GET', base .. 's' .. half)
    if row and string.byte(row) == state and half .. rest_of(row) ~= spared then
      keep_stone(half, head .. rest_of(row) .. person_of(row))
      look_in_time(half, row, head)
      ended = ended + 1
    elseif is_live(row) then
      left[#left + 1] = half
    end
  end
  if ended > 0 then
    redis.call('LTRIM', key, 0, 0)
    for _, half in ipairs(left) do
      redis.call('RPUSH', key, half)
    end
  end
  count = count + ended
end
if count > 0 then
  tell(told)
end
return count
