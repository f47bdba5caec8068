-- A mark for data that have none. ARGV: a new one.
redis.call('SET', base .. 'm', mark, 'NX')
return redis.call('GET', base .. 'm')
