// Steady load for the time of a rollout: how many requests fail while releases walk through, and does any run get lost.
//
//   k6 run smoke/load.js      RATE=4 starts a second, DURATION=10m, SUMMARY_FILE=summary.json
//
// Each iteration starts one run in a session of its own (`load-...`, so that SQL can count them), follows its events over
// WebSocket until the end, and asks for its status. A request counts as failed when it is not answered with 2xx at the
// first attempt; a WebSocket handshake is a request. A socket that the gateway closes for its restart is not a failure, but
// the handshake that resumes it must succeed.
//
// SIGINT ends it at once and cleanly: iterations under way are broken off and count neither as failed nor as completed.

import http from "k6/http"
import { Counter, Trend } from "k6/metrics"
import { fetchToken, follow, GATEWAY_URL, pause, requestParams, startBody, uniqueId, why, within } from "./gateway.js"

const RATE = Number(__ENV.RATE || 4)
const DURATION = __ENV.DURATION || "10m"
const RUN_TIMEOUT_MS = Number(__ENV.RUN_TIMEOUT_MS || 60000)
const MESSAGE = __ENV.MESSAGE || "load: stream an answer tokens:24 slow:10"

const requests = new Counter("requests_made")
const requestsFailed = new Counter("requests_failed")
const runsAccepted = new Counter("runs_accepted")
const runsCompleted = new Counter("runs_completed")
const runsUnfinished = new Counter("runs_unfinished")
const eventsDoubled = new Counter("events_doubled")
const eventsOutOfOrder = new Counter("events_out_of_order")
const startLatency = new Trend("start_latency", true)
const completionLatency = new Trend("completion_latency", true)

export const options = {
  // Each iteration is another user, with connections of its own.
  noVUConnectionReuse: true,
  scenarios: {
    load: {
      executor: "constant-arrival-rate",
      rate: RATE,
      timeUnit: "1s",
      duration: DURATION,
      // A run takes a second or so, and some seconds in a takeover: enough for all of them to be slow at once.
      preAllocatedVUs: Math.max(8, Math.ceil(RATE * 8)),
      maxVUs: Math.max(20, Math.ceil(RATE * 40)),
      gracefulStop: "60s"
    }
  },
  thresholds: {
    http_req_failed: ["rate==0"],
    requests_failed: ["count==0"],
    runs_unfinished: ["count==0"],
    events_doubled: ["count==0"],
    events_out_of_order: ["count==0"],
    dropped_iterations: ["count==0"]
  },
  summaryTrendStats: ["p(50)", "p(95)", "max"]
}

export const setup = () => ({ token: fetchToken() })

/** Broken off by SIGINT: says nothing about the gateway. */
const brokenOff = ({ error }) => /context cancell?ed/.test(String(error))

const count = (response, what) => {
  if (brokenOff(response)) return false
  requests.add(1)
  const good = response.status >= 200 && response.status < 300
  if (!good) {
    requestsFailed.add(1)
    console.error(`${new Date().toISOString()} ${what} failed: ${why(response)}`)
  }
  return good
}

export default async function load({ token }) {
  const runId = uniqueId("run")
  const sessionId = uniqueId("load")
  const startedAt = Date.now()
  const started = http.post(
    `${GATEWAY_URL}/agents/${sessionId}/runs`,
    startBody(runId, MESSAGE),
    requestParams(token, "start a run", "60s")
  )
  if (!count(started, `start of ${runId}`)) return
  runsAccepted.add(1)
  startLatency.add(started.timings.duration)

  const seen = {}
  let lastEventId = 0
  let terminal = null
  const deadline = startedAt + RUN_TIMEOUT_MS
  while (terminal === null && Date.now() < deadline) {
    const socket = follow(sessionId, token, lastEventId, (event) => {
      const key = `${event.runId} ${event.step} ${event.sequence}`
      if (seen[key]) eventsDoubled.add(1)
      else if (event.eventId <= lastEventId) eventsOutOfOrder.add(1)
      seen[key] = true
      lastEventId = Math.max(lastEventId, event.eventId)
      if (["Completed", "Failed", "Cancelled"].includes(event.event._tag)) {
        terminal = event.event._tag
        socket.close()
      }
    })
    const { opened, error } = await within(deadline - Date.now(), socket.ended, { opened: true, error: "" })
    if (Date.now() >= deadline) socket.close()
    if (brokenOff({ error })) return
    requests.add(1)
    if (!opened) {
      requestsFailed.add(1)
      console.error(`${new Date().toISOString()} WebSocket handshake of ${sessionId} failed: ${error}`)
      await pause(200)
    }
  }
  if (terminal === null) {
    runsUnfinished.add(1)
    console.error(`${new Date().toISOString()} ${runId} did not end within ${RUN_TIMEOUT_MS} ms`)
    return
  }
  const status = http.get(`${GATEWAY_URL}/runs/${runId}`, requestParams(token, "a run's status"))
  if (count(status, `status of ${runId}`) && status.json().status === "completed") {
    runsCompleted.add(1)
    completionLatency.add(Date.now() - startedAt)
  } else {
    runsUnfinished.add(1)
  }
}

export const handleSummary = ({ metrics, state }) => {
  const value = (name, key) => (metrics[name] ? metrics[name].values[key] || 0 : 0)
  const round = (number) => Math.round(number * 10) / 10
  const summary = {
    requests: value("requests_made", "count"),
    requestsFailed: value("requests_failed", "count"),
    runsAccepted: value("runs_accepted", "count"),
    runsCompleted: value("runs_completed", "count"),
    runsUnfinished: value("runs_unfinished", "count"),
    eventsDoubled: value("events_doubled", "count"),
    eventsOutOfOrder: value("events_out_of_order", "count"),
    iterationsDropped: value("dropped_iterations", "count"),
    p50: round(value("start_latency", "p(50)")),
    p95: round(value("start_latency", "p(95)")),
    completionP50: round(value("completion_latency", "p(50)")),
    completionP95: round(value("completion_latency", "p(95)")),
    seconds: round(state.testRunDurationMs / 1000)
  }
  const line = `${JSON.stringify(summary)}\n`
  return __ENV.SUMMARY_FILE ? { stdout: line, [__ENV.SUMMARY_FILE]: line } : { stdout: line }
}
