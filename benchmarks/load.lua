-- wrk's part: every connection sends the cookies of a file in turn, and the counts come out in one line.

local requests, turn = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    requests[#requests + 1] = wrk.format("GET", nil, {Cookie = line, Accept = "*/*"})
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

function done(summary, latency, _)
  local errors = summary.errors
  local failed = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  print(string.format("counted %d %d %d %d", summary.requests, failed, summary.duration, latency:percentile(99)))
end
