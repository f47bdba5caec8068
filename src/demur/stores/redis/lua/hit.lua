-- ARGV: key, now, window.
local refused = refusal(true)
if refused then return refused end
local key, now = ARGV[4], tonumber(ARGV[5])
local old = redis.call('GET', base .. 'h' .. key)
local count, ends = 0, 0
if old then
  count, ends = struct.unpack('>dd', old)
end
if now >= ends then
  count, ends = 0, now + tonumber(ARGV[6])
end
local row = struct.pack('>dd', count + 1, ends)
if old and count > 0 then
  redis.call('SET', base .. 'h' .. key, row, 'KEEPTTL')
else
  keep_value('h', key, row, ends)
end
return row
