// The smoke run after every step of a rollout: one session as a person would have it, with a runner killed in its middle.
//
//   start a run that streams · follow it over WebSocket · cut the socket · kill the pod that works on it · resume from the
//   last event seen · answer its question for approval · see it complete, every event once and in order · then a burst
//
// Every expectation is a check with a name a person understands; one that fails makes k6, and so the phase, fail.
import { check } from "k6"
import http from "k6/http"
import { Counter, Trend } from "k6/metrics"
import { fetchToken, follow, GATEWAY_URL, pause, requestParams, startBody, uniqueId, why, within } from "./gateway.js"

const KILL = (__ENV.SMOKE_KILL || "on") !== "off"
const KILL_GRACE_SECONDS = __ENV.KILL_GRACE_SECONDS || "1"
const NAMESPACE = __ENV.POD_NAMESPACE || "agents"
const KUBERNETES =
  __ENV.KUBERNETES_API_URL || `https://${__ENV.KUBERNETES_SERVICE_HOST}:${__ENV.KUBERNETES_SERVICE_PORT || 443}`
const MESSAGE = __ENV.SMOKE_MESSAGE || "smoke: stream an answer, then ask to approve tokens:30 slow:50"
const CUT_AFTER_TOKENS = 3
const SESSION_TIMEOUT_MS = 60000
const BURST = Number(__ENV.SMOKE_BURST || 20)

/** The pod's own right to kill a runner, where it has one. `open` works at the top level only. */
const serviceAccountToken = (() => {
  try {
    return open(__ENV.KUBERNETES_TOKEN_FILE || "/var/run/secrets/kubernetes.io/serviceaccount/token").trim()
  } catch {
    return ""
  }
})()

const finished = new Counter("smoke_finished")
const events = new Counter("smoke_events")
const resumes = new Counter("smoke_resumes")
const killed = new Counter("smoke_runners_killed")
const pauseAfterKill = new Trend("smoke_pause_after_kill", true)
const burstAccepted = new Counter("smoke_burst_accepted")
const burstLimited = new Counter("smoke_burst_limited")

export const options = {
  scenarios: {
    smoke: { executor: "per-vu-iterations", vus: 1, iterations: 1, maxDuration: "100s" }
  },
  batch: BURST,
  batchPerHost: BURST,
  thresholds: { checks: ["rate==1"], smoke_finished: ["count==1"] }
}

const expect = (what, holds, detail) => {
  const good = check(null, { [what]: () => holds })
  if (!good && detail) console.error(`${what}: ${detail}`)
  return good
}

/** Ends the runner as a lost machine would: its process has a second, then it is gone. */
const kill = (pod) => {
  const response = http.del(
    `${KUBERNETES}/api/v1/namespaces/${NAMESPACE}/pods/${pod}?gracePeriodSeconds=${KILL_GRACE_SECONDS}`,
    null,
    {
      headers: serviceAccountToken === "" ? {} : { authorization: `Bearer ${serviceAccountToken}` },
      tags: { name: "kubernetes: kill the runner" }
    }
  )
  killed.add(1)
  return expect(
    "the runner that owns the session could be killed",
    response.status >= 200 && response.status < 300,
    `DELETE of pod ${pod}: ${why(response)}`
  )
}

const session = async (token) => {
  const runId = uniqueId("run")
  const sessionId = uniqueId("smoke")
  const started = http.post(
    `${GATEWAY_URL}/agents/${sessionId}/runs`,
    startBody(runId, MESSAGE),
    requestParams(token, "start a run")
  )
  if (!expect("a run can be started", started.status === 202, why(started))) return
  const again = http.post(
    `${GATEWAY_URL}/agents/${sessionId}/runs`,
    startBody(runId, MESSAGE),
    requestParams(token, "start the same run again")
  )
  expect(
    "the same start again is the same run",
    again.status === 202 && again.json().executionId === started.json().executionId,
    why(again)
  )

  const seen = []
  const deadline = Date.now() + SESSION_TIMEOUT_MS
  let cut = false
  let killedAt = 0
  let approvals = 0
  let terminal = false
  let refusal = ""
  while (!terminal && Date.now() < deadline) {
    const after = seen.length === 0 ? 0 : seen[seen.length - 1].eventId
    let wantsKill = false
    const socket = follow(
      sessionId,
      token,
      after,
      (event) => {
        if (wantsKill) return
        seen.push(event)
        if (killedAt > 0) {
          // From the kill to the first event, then from event to event: the longest is what a user saw of it.
          pauseAfterKill.add(Date.now() - killedAt)
          killedAt = Date.now()
        }
        const tag = event.event._tag
        if (!cut && seen.filter((each) => each.event._tag === "Token").length >= CUT_AFTER_TOKENS) {
          cut = true
          wantsKill = true
          socket.close()
        } else if (tag === "ApprovalRequested") {
          approvals += 1
          socket.send({ type: "approve", ref: "approval", runId })
        } else if (tag === "Completed" || tag === "Failed" || tag === "Cancelled") {
          terminal = true
          socket.close()
        }
      },
      (message) => {
        if (message.type === "error") refusal = `${message.problem.code}: ${message.problem.detail}`
      }
    )
    const late = { opened: true, code: 0, error: "" }
    const { opened, code, error } = await within(deadline - Date.now(), socket.ended, late)
    if (Date.now() >= deadline) socket.close()
    expect("the WebSocket of the session opens", opened, `${error} (close code ${code})`)
    if (!opened) await pause(200)
    if (wantsKill) {
      resumes.add(1)
      if (KILL) {
        const view = http.get(`${GATEWAY_URL}/runs/${runId}`, requestParams(token, "a run's status"))
        const { runner, status } = view.status === 200 ? view.json() : {}
        expect("the run is still under way when its socket is cut", status === "accepted", `status ${status}`)
        if (expect("the run says which runner works on it", typeof runner === "string" && runner !== "", why(view))) {
          if (kill(runner)) killedAt = Date.now()
        }
      }
    }
  }
  events.add(seen.length)

  const tags = seen.map(({ event }) => event._tag)
  const many = (tag) => tags.filter((each) => each === tag).length
  const last = seen.length > 0 ? seen[seen.length - 1].event : undefined
  const ascending = seen.every((event, i) => i === 0 || event.eventId > seen[i - 1].eventId)
  const keys = {}
  for (const { step, sequence } of seen) keys[`${step} ${sequence}`] = true
  const text = seen.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")

  expect("the socket was cut in the middle of the stream", cut && many("Token") > CUT_AFTER_TOKENS, tags.join(" "))
  expect("the run completes after its runner was killed", many("Completed") === 1, `events: ${tags.join(" ")}`)
  expect(
    "one approval was asked for, given and recorded",
    approvals === 1 && many("Approved") === 1,
    refusal || tags.join(" ")
  )
  expect("events arrive in order across the cut", ascending, JSON.stringify(seen.map(({ eventId }) => eventId)))
  expect("no event arrives twice", Object.keys(keys).length === seen.length, tags.join(" "))
  expect(
    "the streamed text is the answer, whole",
    last !== undefined && last._tag === "Completed" && last.text === text,
    `streamed "${text}", answer "${last?.text}"`
  )

  // Not `.json()`: that sorts the keys.
  const recorded = http.get(`${GATEWAY_URL}/runs/${runId}/events?after=0`, requestParams(token, "a run's events"))
  expect(
    "what was streamed is what was recorded",
    recorded.status === 200 && JSON.stringify(JSON.parse(recorded.body).events) === JSON.stringify(seen),
    recorded.status === 200 ? `${recorded.json().events.length} recorded, ${seen.length} streamed` : why(recorded)
  )
  const view = http.get(`${GATEWAY_URL}/runs/${runId}`, requestParams(token, "a run's status"))
  expect("the run's status is completed", view.status === 200 && view.json().status === "completed", why(view))
}

/** More starts at once than a person makes: each is accepted, or refused in an orderly way. */
const burst = (token) => {
  const answers = http.batch(
    Array.from({ length: BURST }, () => ({
      method: "POST",
      url: `${GATEWAY_URL}/agents/${uniqueId("smoke-burst")}/runs`,
      body: startBody(uniqueId("run"), "burst"),
      params: {
        ...requestParams(token, "burst of starts"),
        responseCallback: http.expectedStatuses(202, 429)
      }
    }))
  )
  const orderly = answers.filter(({ status }) => status === 202 || status === 429)
  burstAccepted.add(answers.filter(({ status }) => status === 202).length)
  burstLimited.add(answers.filter(({ status }) => status === 429).length)
  const odd = answers.find((answer) => !orderly.includes(answer))
  expect("a burst of starts is accepted or limited, never failed", odd === undefined, odd && why(odd))
}

export default async function smoke() {
  const token = fetchToken()
  const stranger = http.get(`${GATEWAY_URL}/runs/none`, {
    tags: { name: "no token" },
    responseCallback: http.expectedStatuses(401)
  })
  expect("a request without a token is refused", stranger.status === 401, why(stranger))
  await session(token)
  burst(token)
  finished.add(1)
}

export const handleSummary = ({ metrics, root_group, state }) => {
  const value = (name, key) => (metrics[name] ? metrics[name].values[key] || 0 : 0)
  const checks = root_group.checks
  const failed = checks.filter(({ fails }) => fails > 0).map(({ name }) => name)
  const passed = failed.length === 0 && checks.length > 0 && value("smoke_finished", "count") === 1
  const summary = {
    passed,
    checks: checks.length,
    failed,
    events: value("smoke_events", "count"),
    socketsCut: value("smoke_resumes", "count"),
    runnersKilled: value("smoke_runners_killed", "count"),
    longestPauseAfterKillMs: Math.round(value("smoke_pause_after_kill", "max")),
    burstAccepted: value("smoke_burst_accepted", "count"),
    burstLimited: value("smoke_burst_limited", "count"),
    seconds: Math.round(state.testRunDurationMs / 100) / 10
  }
  const text = checks.map(({ name, fails }) => `${fails === 0 ? "  ok    " : "  FAILED"}  ${name}`)
  if (value("smoke_finished", "count") !== 1) text.push("  FAILED  the smoke run came to its end")
  return { stdout: `${text.join("\n")}\n${JSON.stringify(summary)}\n` }
}
