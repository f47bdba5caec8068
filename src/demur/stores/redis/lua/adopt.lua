-- What was news: 0 not, 1 it was, 2 somebody's evidence is not what it was. ARGV: for each row a letter and five words:
--   p  token, snapshot, subject, -, -      s  token, snapshot, subject, half, row
--   t  half, row, -, -, -                  v, h  key, row, until, -, -
local refused = refusal(true)
if refused then return refused end
local news = {}
for at = 4, #ARGV, 6 do
  local what, one, two, three, four, five = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local new, told = false, false
  if what == 'p' then
    new, told = publish(one, two, three, true)
  elseif what == 's' then
    new, told = publish(one, two, three, true)
    local row = redis.call('GET', base .. 's' .. four)
    if row == false then
      keep_live(four, numbered(five))
      redis.call('RPUSH', base .. 'p' .. one, four)
      later('s' .. four, limit_of(five))
      new = true
    elseif is_live(row) and rest_of(row) == rest_of(five) and string.sub(row, 2, 6) < string.sub(five, 2, 6) then
      redis.call('SETRANGE', base .. 's' .. four, 1, string.sub(five, 2, 6))
      new = true
    end
  elseif what == 't' then
    local row = redis.call('GET', base .. 's' .. one)
    if row == false then
      keep_stone(one, two)
      later('s' .. one, struct.unpack('>I5', two, 2) + MONTH)
      new = true
    elseif is_live(row) and rest_of(row) == rest_of(two) then
      bury(one, row, string.sub(two, 1, 6))
      new, told = true, true
    end
  elseif redis.call('GET', base .. what .. one) ~= two then
    keep_value(what, one, two, struct.unpack('>d', three))
    new = true
  end
  news[#news + 1] = told and 2 or new and 1 or 0
end
return news
