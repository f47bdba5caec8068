-- ARGV: whether it is a rehearsal (1), then for each change a letter and five words:
--   t  half, rest, second, -, -        e  half, rest, head of the tombstone, -, -
--   r  half, rest, head, half of the new id, new row
--   x  the same, where the new id is known to be used in another bucket
-- First all of it is thought through, then all of it is written.
local refused = refusal(true)
if refused then return refused end
local rows, dirty, seen, work, done = {}, {}, {}, {}, {}

local function row_of(half)
  if rows[half] == nil then
    rows[half] = redis.call('GET', base .. 's' .. half)
  end
  return rows[half]
end

local function live(half, rest)
  local row = row_of(half)
  return is_live(row) and rest_of(row) == rest and row or nil
end

local function put(half, row)
  rows[half] = row
  if not dirty[half] then
    dirty[half] = true
    work[#work + 1] = {'row', half}
  end
end

local function touch(half, row, at)
  local before, expires, idle = struct.unpack('>I5I5I4', row, 2)
  local enough = string.byte(row) == 2 and 6000 or idle
  if at <= before or (at - before) * 10 < enough or at >= expires or (idle > 0 and at >= before + idle) then
    return 0
  end
  rows[half] = string.sub(row, 1, 1) .. struct.pack('>I5', at) .. string.sub(row, 7)
  if not seen[half] then
    seen[half] = true
    work[#work + 1] = {'seen', half}
  end
  return 1
end

local function entomb(half, row, head)
  put(half, head .. rest_of(row) .. person_of(row))
  work[#work + 1] = {'gone', half, row, head}
end

for at = 5, #ARGV, 6 do
  local what, half, rest, third, new, new_row = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4], ARGV[at + 5]
  local row = live(half, rest)
  local effect = 0
  if row and what == 't' then
    effect = touch(half, row, struct.unpack('>d', third))
  elseif row and what == 'e' then
    entomb(half, row, third)
    effect = 1
  elseif row then
    if person_of(row) ~= person_of(new_row) then
      return -1
    elseif what == 'x' or row_of(new) then
      return -2
    end
    put(new, numbered(new_row))
    work[#work + 1] = {'come', new, token_of(new_row), limit_of(new_row)}
    entomb(half, row, third)
    effect = 1
  end
  done[#done + 1] = effect
end

if ARGV[4] == '1' then
  return done
end
for _, step in ipairs(work) do
  local what, half = step[1], step[2]
  if what == 'row' then
    if is_live(rows[half]) then keep_live(half, rows[half]) else keep_stone(half, rows[half]) end
  elseif what == 'seen' then
    if not dirty[half] then
      redis.call('SETRANGE', base .. 's' .. half, 1, string.sub(rows[half], 2, 6))
    end
  elseif what == 'come' then
    redis.call('RPUSH', base .. 'p' .. step[3], half)
    later('s' .. half, step[4])
  else
    redis.call('LREM', base .. 'p' .. token_of(step[3]), 0, half)
    tell('s' .. half .. rest_of(step[3]))
    look_in_time(half, step[3], step[4])
  end
end
return done
