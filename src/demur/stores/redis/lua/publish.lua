-- ARGV: token, snapshot, subject.
local refused = refusal(true)
if refused then return refused end
local _, told = publish(ARGV[4], ARGV[5], ARGV[6], false)
return told and 1 or 0
