-- ARGV: halves of ids. The first of them, as a proof of which question this answers; each row with its person's snapshot.
local refused = refusal(false)
if refused then return refused end
local found, people = {ARGV[4]}, {}
for at = 4, #ARGV do
  local row = redis.call('GET', base .. 's' .. ARGV[at])
  local who = false
  if is_live(row) then
    local token = token_of(row)
    who = people[token]
    if who == nil then
      who = redis.call('LINDEX', base .. 'p' .. token, 0)
      people[token] = who
    end
  end
  found[#found + 1] = row
  found[#found + 1] = who
end
return found
