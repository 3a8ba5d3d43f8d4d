-- What wrk sends, and the figures it leaves behind as one line of JSON for benches/bench/load.py.
--
--   wrk ... -s load.lua URL -- METHOD BODY_BYTES PIPELINED ['NAME: VALUE' ...]

local pipelined = 1

function init(args)
  wrk.method = args[1] or "GET"
  local bytes = tonumber(args[2] or "0")
  if bytes > 0 then wrk.body = string.rep("x", bytes) end
  for index = 4, #args do
    local name, value = args[index]:match("^([^:]+): (.*)$")
    wrk.headers[name] = value
  end
  pipelined = tonumber(args[3] or "1")
  if pipelined > 1 then
    -- A request function makes wrk ask Lua each time: only where the cost is shared by many requests.
    local whole = string.rep(wrk.format(), pipelined)
    request = function() return whole end
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\nFIGURES {"requests": %d, "microseconds": %d, "bytes": %d, "p50": %.1f, "p99": %.1f, "p99.9": %.1f, ' ..
    '"max": %.1f, "connect": %d, "read": %d, "write": %d, "timeout": %d, "status": %d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), latency.max, e.connect, e.read, e.write, e.timeout, e.status))
end
