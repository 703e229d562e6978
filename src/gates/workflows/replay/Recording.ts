/** What an execution has recorded, ready to answer a replay. */
import { Cause, Effect, Exit, Schema } from "effect"
import type { BegunActivity, Execution } from "../OpenWork.ts"

/** `encoded`: the values inside are as stored; the engine decodes them with the schema of who asks. */
export type Answer =
  | { readonly _tag: "recorded"; readonly exit: Exit.Exit<unknown, unknown> }
  /** The engine itself gave up on it, and says so to whoever asks. */
  | { readonly _tag: "failed"; readonly cause: Cause.Cause<unknown> }
  /** Begun and not ended: it runs, or will again. */
  | { readonly _tag: "begun" }
  | { readonly _tag: "none" }

const exitEncoded = Schema.Exit({ success: Schema.Unknown, failure: Schema.Unknown, defect: Schema.Defect })
const decodeExit = Schema.decodeUnknownOption(exitEncoded)

const none: Answer = { _tag: "none" }
const begun: Answer = { _tag: "begun" }

const record = (value: unknown) =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined

const exitAnswer = (encoded: unknown): Answer => {
  const exit = record(encoded)
  // By far the most frequent, and nothing to decode here.
  if (exit?.["_tag"] === "Success") return { _tag: "recorded", exit: Exit.succeed(exit["value"]) }
  const decoded = decodeExit(encoded)
  return decoded._tag === "Some" ? { _tag: "recorded", exit: decoded.value } : begun
}

const answerOf = ({ reply }: BegunActivity): Answer => {
  if (reply === undefined || reply._tag === "damaged") return begun
  const value = record(record(reply.value)?.["value"])
  if (value?.["_tag"] === "Complete") return exitAnswer(value["exit"])
  if (value !== undefined) return begun
  const failed = decodeExit(reply.value)
  return failed._tag === "Some" && Exit.isFailure(failed.value) ? { _tag: "failed", cause: failed.value.cause } : begun
}

const CLOCK = "DurableClock/"

/** One attempt of an activity, by the name the cluster's tables have. */
export const activityKey = (name: string, attempt: number): string => `${name}/${attempt}`

export class Recording {
  private readonly activities = new Map<string, Answer>()
  private readonly deferreds = new Map<string, Answer>()
  private readonly clocks: ReadonlySet<string>

  constructor(execution: Execution) {
    for (const activity of execution.activities) {
      this.activities.set(activityKey(activity.name, activity.attempt), answerOf(activity))
    }
    for (const { name, exit } of execution.deferreds) this.deferreds.set(name, exitAnswer(exit))
    this.clocks = new Set(execution.clocks.map(({ name }) => name))
  }

  activity(name: string, attempt: number): Answer {
    return this.activities.get(activityKey(name, attempt)) ?? none
  }

  deferred(name: string): Answer {
    return this.deferreds.get(name) ?? none
  }

  /** Recorded once it has rung, begun while it runs. */
  clock(name: string): Answer {
    const rung = this.deferreds.get(CLOCK + name)
    return rung ?? (this.clocks.has(name) ? begun : none)
  }

  static clockOf(deferredName: string): string | undefined {
    return deferredName.startsWith(CLOCK) ? deferredName.slice(CLOCK.length) : undefined
  }
}

/** The answer as an effect; undefined when there is none to give. */
export const effectOf = (answer: Answer): Effect.Effect<Exit.Exit<unknown, unknown>> | undefined =>
  answer._tag === "recorded"
    ? Effect.succeed(answer.exit)
    : answer._tag === "failed"
      ? Effect.failCause(Cause.die(Cause.squash(answer.cause)))
      : undefined
