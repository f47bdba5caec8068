local refused = refusal(false)
if refused then return refused end
redis.call('SET', base .. 'c', '', 'EX', 60)
return 1
