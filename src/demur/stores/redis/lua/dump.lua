-- ARGV: keys without their base. Each row; a person's snapshot; a live session's with its person's.
local refused = refusal(false)
if refused then return refused end
local found = {}
for at = 4, #ARGV do
  local key = ARGV[at]
  local row, who = false, false
  if string.sub(key, 1, 1) == 'p' then
    row = redis.call('LINDEX', base .. key, 0)
  else
    row = redis.call('GET', base .. key)
    if row and string.sub(key, 1, 1) == 's' and is_live(row) then
      who = redis.call('LINDEX', base .. 'p' .. token_of(row), 0)
    end
  end
  found[#found + 1] = row
  found[#found + 1] = who
end
return found
