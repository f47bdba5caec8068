-- ARGV: state, tokens. The live sessions of that kind, each as half of its id and its row.
local refused = refusal(false)
if refused then return refused end
local state, found = tonumber(ARGV[4]), {}
for at = 5, #ARGV do
  for _, half in ipairs(redis.call('LRANGE', base .. 'p' .. ARGV[at], 1, -1)) do
    local row = redis.call('GET', base .. 's' .. half)
    if row and string.byte(row) == state then
      found[#found + 1] = half
      found[#found + 1] = row
    end
  end
end
return found
