-- ARGV: the half of an id, its bucket, and until when: in a Cluster.
local refused = refusal(true)
if refused then return refused end
for at = 4, #ARGV, 3 do
  keep(base .. 'w' .. ARGV[at], ARGV[at + 1], struct.unpack('>d', ARGV[at + 2]) + MONTH)
end
return 1
