-- ARGV: kind and key.
local refused = refusal(false)
if refused then return refused end
return redis.call('GET', base .. ARGV[4])
