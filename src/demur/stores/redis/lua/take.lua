-- ARGV: key.
local refused = refusal(true)
if refused then return refused end
return redis.call('GETDEL', base .. 'v' .. ARGV[4])
