-- ARGV: halves of ids. The bucket of each, in a Cluster.
local refused = refusal(false)
if refused then return refused end
local found = {}
for at = 4, #ARGV do
  found[#found + 1] = redis.call('GET', base .. 'w' .. ARGV[at])
end
return found
