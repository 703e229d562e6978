/** The way out that changes no code: to wait for executions to end. How long that takes, estimated from how long others took. */
import type { Lived } from "./OpenWork.ts"

/** Rules about what open executions hold: when these have ended, nothing is in the way. New executions meet other rules all the same. */
export const waitable: ReadonlySet<string> = new Set([
  "workflow-gone",
  "workflow-payload",
  "idempotency-key",
  "shard-group",
  "shard-groups",
  "activity-gone",
  "activity-result",
  "retry-budget",
  "deferred-gone",
  "deferred-result",
  "clock-gone",
  "queue-gone",
  "queue-result",
  "replay-never-asked",
  "replay-inserted",
  "replay-other-wait"
])

/** How old the executions in question are, as far as an estimate needs it. */
export class Ages {
  count = 0
  oldest = Number.POSITIVE_INFINITY
  youngest = Number.NEGATIVE_INFINITY
  private readonly starts: Array<number> = []

  add(startedAt: number): void {
    this.count++
    this.oldest = Math.min(this.oldest, startedAt)
    this.youngest = Math.max(this.youngest, startedAt)
    this.starts.push(startedAt)
  }

  startedBefore(time: number): number {
    return this.starts.reduce((sum, start) => sum + (start < time ? 1 : 0), 0)
  }
}

const units = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000]
] as const

/** `3 hours`, `90 seconds`: two of the largest unit at least, so that little is lost. */
export const inWords = (ms: number): string => {
  const [name, size] = units.find(([, size]) => ms >= 2 * size) ?? units[3]
  const amount = Math.max(0, Math.round(ms / size))
  return `${amount} ${name}${amount === 1 ? "" : "s"}`
}

const executions = (n: number) => (n === 1 ? "this 1 execution" : `these ${n} executions`)

/** A sentence for a finding's way out. Pure. */
export const wayOut = (workflow: string, ages: Ages, lived: Lived | undefined, now: number): string => {
  const wait = `Or wait for ${executions(ages.count)} to end, while starts go to another workflow version`
  const oldest = inWords(now - ages.oldest)
  if (lived === undefined) {
    return `${wait}. None of ${workflow} has ended here, so how long that takes can't be estimated; the oldest is ${oldest} old.`
  }
  const took = `of ${lived.ended} that ended, half took up to ${inWords(lived.half)}, 95 % up to ${inWords(lived.most)}, the longest ${inWords(lived.longest)}`
  const beyond = ages.startedBefore(now - lived.longest)
  const left = lived.most - (now - ages.youngest)
  const estimate =
    beyond === ages.count
      ? `${ages.count === 1 ? "it is" : "all are"} older than any of those (the oldest ${oldest}), so nothing tells when: look what ${ages.count === 1 ? "it waits" : "they wait"} for`
      : `${left > 0 ? `about ${inWords(left)} from now` : "soon, most likely"}${
          beyond > 0
            ? `, but for ${beyond} older than any of those (the oldest ${oldest}): look what they wait for`
            : ""
        }`
  return `${wait}: ${estimate} (${took}).`
}
