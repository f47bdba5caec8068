-- ARGV: key, row, until.
local refused = refusal(true)
if refused then return refused end
keep_value('v', ARGV[4], ARGV[5], struct.unpack('>d', ARGV[6]))
return 1
