-- ARGV: F, or nothing.
local refused = refusal(false)
if refused then return refused end
redis.call('SET', base .. 'm', mark .. ARGV[4])
return 1
