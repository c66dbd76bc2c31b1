-- What wrk sends, and its figures as one line of JSON (wrk's own text rounds them).
--
-- Arguments after `--`: METHOD BODY_BYTES CONNECTION COOKIE_FILE. The file has one Cookie header value a line: each
-- request takes the next one in turn. With more lines than connections no two requests under way share a session.

local requests = {}
local turn = 0

function init(arguments)
    wrk.method = arguments[1]
    local length = tonumber(arguments[2])
    if length > 0 then
        wrk.body = string.rep("x", length)
    end
    if arguments[3] == "close" then
        wrk.headers["Connection"] = "close"
    end
    for line in io.lines(arguments[4]) do
        -- Formatted once, so that the load generator does not become the bottleneck.
        wrk.headers["Cookie"] = line
        requests[#requests + 1] = wrk.format()
    end
    if #requests > 1 then
        -- Its presence alone makes wrk call Lua for each request; one cookie goes the faster way.
        request = function()
            turn = turn % #requests + 1
            return requests[turn]
        end
    end
end

function done(summary, latency, _)
    local errors = summary.errors
    io.write(string.format(
        'WRK {"requests": %d, "bytes": %d, "microseconds": %d, "p50": %.0f, "p99": %.0f, '
            .. '"status": %d, "connect": %d, "read": %d, "write": %d, "timeout": %d}\n',
        summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
        errors.status, errors.connect, errors.read, errors.write, errors.timeout))
end
