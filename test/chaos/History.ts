/**
 * Decides from what clients saw and from what the database holds whether anything was lost, doubled or put out of order.
 * Pure: everything it needs is in the history, so it is tested with histories that are broken on purpose.
 */
import { tokensOf } from "../../src/agent/model/LocalModel.ts"
import { isTerminal, type RecordedEvent } from "../../src/domain/Event.ts"

/** What a client asked for, and what it was told. */
export interface Asked {
  readonly run: string
  readonly session: string
  readonly message: string
  /** The start was answered: from here on nothing may be lost. */
  readonly acknowledged: boolean
  /** A cancellation was sent (answered or not), so the run may end as cancelled. */
  readonly cancelSent: boolean
  /** What an answered cancellation said of the run. */
  readonly cancelled?: string
  readonly approved: boolean
}

export interface RunRow {
  readonly run: string
  readonly session: string
  readonly execution: string
  readonly status: string
  readonly finished: boolean
}

export interface UsageRow {
  readonly execution: string
  readonly step: string
  readonly outputTokens: number
}

/** A step in the journal: which runner recorded it, and whose the execution's shard was at that moment. */
export interface StepRow {
  readonly execution: string
  readonly step: string
  readonly writer: string
  readonly owner: string | null
}

/** A message of the engine that is not done, or that was answered with a defect. */
export interface OpenMessage {
  readonly execution: string
  readonly what: string
}

export interface History {
  readonly asked: ReadonlyArray<Asked>
  readonly runs: ReadonlyArray<RunRow>
  /** As recorded, in the order of their ids, for each session. */
  readonly recorded: Readonly<Record<string, ReadonlyArray<RecordedEvent>>>
  /** As a client that followed the session received them, in the order of arrival. */
  readonly observed: Readonly<Record<string, ReadonlyArray<RecordedEvent>>>
  readonly usage: ReadonlyArray<UsageRow>
  readonly open: ReadonlyArray<OpenMessage>
  /** Empty where the library's own engine runs the steps: it refuses nobody, and does not say who wrote. */
  readonly steps: ReadonlyArray<StepRow>
}

export interface Violation {
  readonly rule:
    | "lost"
    | "doubled"
    | "order"
    | "unfinished"
    | "wrong-content"
    | "wrong-end"
    | "usage"
    | "observed"
    | "engine"
    | "owner"
  readonly where: string
  readonly what: string
}

const doubles = <A>(all: ReadonlyArray<A>): ReadonlyArray<A> => [
  ...new Set(all.filter((one, index) => all.indexOf(one) !== index))
]

const ENDS: Readonly<Record<string, string>> = { Completed: "completed", Failed: "failed", Cancelled: "cancelled" }

/** Where in a run an event belongs. Token rows share one place; tool calls come in turn. */
const place = ({ event }: RecordedEvent): number => {
  switch (event._tag) {
    case "RunAccepted":
      return 0
    case "Token":
      return 1
    case "ToolCall":
      return 10 * Number(event.call) + 2
    case "ToolResult":
      return 10 * Number(event.call) + 3
    case "ApprovalRequested":
      return 1_000
    case "Approved":
      return 1_001
    default:
      return 2_000
  }
}

/** What an event says apart from when: two of the same (but for pieces of text) are one thing told twice. */
const content = ({ event }: RecordedEvent): string => {
  switch (event._tag) {
    case "ToolCall":
    case "ToolResult":
      return `${event._tag} ${event.call}`
    default:
      return event._tag
  }
}

const checkRun = (asked: Asked, row: RunRow, events: ReadonlyArray<RecordedEvent>, usage: ReadonlyArray<UsageRow>) => {
  const found: Array<Violation> = []
  const say = (rule: Violation["rule"], what: string) => found.push({ rule, where: asked.run, what })
  const ends = events.filter(({ event }) => isTerminal(event))
  const last = events.at(-1)?.event

  if (!row.finished || ends.length === 0)
    say("unfinished", `status ${row.status}, last event ${last?._tag ?? "none at all"}`)
  if (ends.length > 1) say("doubled", `${ends.length} last events: ${ends.map(({ event }) => event._tag).join(", ")}`)
  if (ends.length === 1 && last !== ends[0]?.event) say("order", `${last?._tag} after ${ends[0]?.event._tag}`)
  if (last !== undefined && isTerminal(last) && ENDS[last._tag] !== row.status)
    say("wrong-end", `the row says ${row.status}, the event ${last._tag}`)

  const keys = events.map(({ step, sequence }) => `${step}/${sequence}`)
  for (const key of doubles(keys)) say("doubled", `${key} is there more than once`)
  for (const name of doubles(events.filter(({ event }) => event._tag !== "Token").map(content)))
    say("doubled", `${name} is told more than once`)
  const next = new Map<string, number>()
  for (const { step, sequence } of events) {
    if (sequence !== (next.get(step) ?? 0)) say("order", `${step}/${sequence} where ${next.get(step) ?? 0} was due`)
    next.set(step, sequence + 1)
  }
  events.forEach((event, index) => {
    const before = events[index - 1]
    if (before !== undefined && place(event) < place(before)) say("order", `${content(event)} after ${content(before)}`)
  })

  const [first] = events
  if (first?.event._tag !== "RunAccepted") say("lost", `starts with ${first?.event._tag ?? "nothing"}`)
  else if (first.event.message !== asked.message) say("wrong-content", "accepted another message than was asked")

  const wanted = tokensOf(asked.message).join("")
  const text = events.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")
  if (!wanted.startsWith(text)) say("wrong-content", `the pieces make "${text}", not the start of "${wanted}"`)
  if (last?._tag === "Completed") {
    if (text !== wanted && wanted.startsWith(text))
      say("lost", `the pieces make ${text.length} of ${wanted.length} characters`)
    if (last.text !== wanted) say("wrong-content", `completed with "${last.text}"`)
    const tools = asked.message.split(/\s+/).filter((word) => word.startsWith("tool:")).length
    const results = events.filter(({ event }) => event._tag === "ToolResult").length
    if (results !== tools) say("lost", `${results} tool results of ${tools}`)
    if (/\bapprove\b/.test(asked.message) && !events.some(({ event }) => event._tag === "Approved"))
      say("lost", "completed without the approval that it asked for")
  }
  if (last?._tag === "Failed" && (!/\bfail\b/.test(asked.message) || last.code !== "model-failed"))
    say("wrong-end", `failed with ${last.code}: ${last.message}`)
  if (last?._tag === "Cancelled" && !asked.cancelSent) say("wrong-end", "cancelled, and nobody asked for that")
  if (asked.cancelled !== undefined && asked.cancelled !== row.status)
    say("wrong-end", `an answered cancellation said ${asked.cancelled}, the run ended ${row.status}`)
  if (asked.approved && last?._tag === "Failed") say("wrong-end", "failed after an approval that was answered")

  const counted = usage.filter(({ execution }) => execution === row.execution)
  for (const step of doubles(counted.map(({ step }) => step))) say("usage", `${step} is counted more than once`)
  if (last?._tag === "Completed") {
    if (counted.length !== 1) say("usage", `${counted.length} rows for one model step`)
    else if (counted[0]?.outputTokens !== last.outputTokens)
      say("usage", `${counted[0]?.outputTokens} tokens counted, ${last.outputTokens} told`)
  }
  return found
}

const fingerprint = ({ eventId, runId, step, sequence, event }: RecordedEvent) =>
  JSON.stringify([eventId, runId, step, sequence, event])

const checkSession = (
  session: string,
  recorded: ReadonlyArray<RecordedEvent>,
  observed: ReadonlyArray<RecordedEvent>
): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  for (const [who, events] of [
    ["recorded", recorded],
    ["observed", observed]
  ] as const) {
    events.forEach(({ eventId }, index) => {
      const before = events[index - 1]?.eventId
      if (before !== undefined && eventId <= before)
        found.push({ rule: "order", where: session, what: `${who}: event ${eventId} after ${before}` })
    })
  }
  const seen = new Set(observed.map(fingerprint))
  const written = new Set(recorded.map(fingerprint))
  const missing = recorded.filter((event) => !seen.has(fingerprint(event)))
  const invented = observed.filter((event) => !written.has(fingerprint(event)))
  if (missing.length > 0)
    found.push({
      rule: "observed",
      where: session,
      what: `a follower missed events ${missing.map(({ eventId }) => eventId)}`
    })
  if (invented.length > 0)
    found.push({
      rule: "observed",
      where: session,
      what: `a follower saw events ${invented.map(({ eventId }) => eventId)} that are not recorded`
    })
  return found
}

/** Every way in which the history breaks a promise; none when it keeps them. */
export const check = (history: History): ReadonlyArray<Violation> => {
  const found: Array<Violation> = []
  const rows = new Map(history.runs.map((row) => [row.run, row]))
  const eventsOf = (run: string, session: string) =>
    (history.recorded[session] ?? []).filter(({ runId }) => runId === run)
  for (const asked of history.asked) {
    const row = rows.get(asked.run)
    if (row === undefined) {
      if (asked.acknowledged) found.push({ rule: "lost", where: asked.run, what: "acknowledged, and there is no run" })
      continue
    }
    // Not acknowledged and there: accepted all the same, since the answer was cut. It must end as well.
    found.push(...checkRun(asked, row, eventsOf(asked.run, asked.session), history.usage))
  }
  const known = new Set(history.asked.map(({ run }) => run))
  for (const { run } of history.runs) {
    if (!known.has(run)) found.push({ rule: "wrong-content", where: run, what: "a run that nobody asked for" })
  }
  for (const session of Object.keys(history.recorded)) {
    found.push(...checkSession(session, history.recorded[session] ?? [], history.observed[session] ?? []))
  }
  for (const { execution, what } of history.open) found.push({ rule: "engine", where: execution, what })
  for (const { execution, step, writer, owner } of history.steps) {
    if (writer !== owner)
      found.push({ rule: "owner", where: execution, what: `${step} recorded by ${writer}, its owner is ${owner}` })
  }
  return found
}
