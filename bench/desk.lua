-- Requests as a desk sends them: a random member, an idempotency key of its own.
-- Written out by hand rather than by wrk.format, so that the load costs as little as it can.
local kind = os.getenv("BENCH_KIND")
local members = tonumber(os.getenv("BENCH_MEMBERS"))
local run = os.getenv("BENCH_RUN")
local below = os.getenv("BENCH_BELOW")
local campaign = tonumber(os.getenv("BENCH_CAMPAIGN"))
local who = os.getenv("BENCH_AUTHORIZATION")
local n = 0

local head = " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
  .. (who == "" and "" or "Authorization: " .. who .. "\r\n") .. "Idempotency-Key: "
  .. run .. "-%d\r\nContent-Length: "
local visit = '{"club_id":"health","service_id":"escort","desk":"d1","shown_points":1,"confirm_repeat":true}'
local visits = "POST " .. below .. "/members/m%07d/visits" .. head .. #visit .. "\r\n\r\n" .. visit
local enrolment = '{"member_id":"m%07d"}'
local enrolments = "POST " .. below .. "/campaigns/c%04d/enrolments" .. head .. #string.format(enrolment, 1)
  .. "\r\n\r\n" .. enrolment

function init(args)
  math.randomseed(tonumber(run:sub(1, 7), 16))
end

local makers = {
  visit = function() return string.format(visits, math.random(1, members), n) end,
  same = function() return string.format(visits, 1, n) end,
  enrol = function()
    return string.format(enrolments, campaign + math.floor((n - 1) / members), n, (n - 1) % members + 1)
  end,
}
local make = makers[kind]

function request()
  n = n + 1
  return make()
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    "RES requests=%d us=%d p50=%d p99=%d p999=%d max=%d status=%d errors=%d\n",
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    latency:percentile(99.9), latency.max, e.status, e.connect + e.read + e.write + e.timeout))
end
