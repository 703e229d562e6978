/**
 * Tells the pusher what becomes of the rollout that a push began.
 *
 * The gates are its first predeploy job, so a push waits for that one: what the first target's gates refuse, the push refuses. The
 * rest is shown, but changes nothing: by then the target may run the release.
 */
import { Effect, Option } from "effect"
import type { ServerAddress } from "../api/Serve.ts"
import type { ToolFailed } from "../Errors.ts"
import { JOB_FIELDS, type Rollout } from "../engine/Resources.ts"
import { advanceable } from "../engine/RolloutPlan.ts"
import { ask, must } from "./Api.ts"

export type Verdict =
  | { readonly _tag: "Going" }
  | { readonly _tag: "Passed" }
  | { readonly _tag: "Waits"; readonly why: string }
  | { readonly _tag: "Failed"; readonly why: string; readonly jobRun: string | undefined }

/** What ends the watching. */
export type Settled = Exclude<Verdict, { readonly _tag: "Going" }>

const GOOD = ["SUCCEEDED", "SKIPPED", "IGNORED"]
const jobsOf = (rollout: Rollout) =>
  rollout.phases.flatMap((phase) =>
    JOB_FIELDS.flatMap((field) => {
      const job = phase.deploymentJobs[field]
      return job === undefined || phase.state === "SKIPPED" ? [] : [{ phase, job }]
    })
  )

const ended = (rollout: Rollout): Verdict => {
  const failed = jobsOf(rollout).find(({ job }) => job.state === "FAILED")
  switch (rollout.state) {
    case "SUCCEEDED":
      return { _tag: "Passed" }
    case "PENDING_APPROVAL":
      return { _tag: "Waits", why: "it waits for an approval" }
    case "PENDING":
    case "IN_PROGRESS":
    case "CANCELLING": {
      const next = advanceable(rollout)
      return next === undefined ? { _tag: "Going" } : { _tag: "Waits", why: `it waits to be advanced to ${next.id}` }
    }
    default:
      return {
        _tag: "Failed",
        why:
          failed === undefined
            ? `the rollout is ${rollout.state}`
            : `${failed.job.id} of phase ${failed.phase.id} failed${rollout.failureReason === undefined ? "" : `: ${rollout.failureReason}`}`,
        jobRun: failed?.job.jobRun
      }
  }
}

const gateOf = (rollout: Rollout) => jobsOf(rollout).find(({ job }) => job.id === "predeploy")

/** Whether the gates of the first target have let the release in. */
const gated = (rollout: Rollout): Verdict => {
  const gate = gateOf(rollout)
  // First: a deployment that failed since is no answer of theirs.
  return gate === undefined || GOOD.includes(gate.job.state) ? { _tag: "Passed" } : ended(rollout)
}

export const verdicts = { gated, ended } as const

/** What has become of the jobs since, in words: `dev predeploy IN_PROGRESS`. */
export const news = (before: Rollout | undefined, now: Rollout): ReadonlyArray<string> => {
  const states = (rollout: Rollout | undefined) =>
    new Map(
      rollout === undefined
        ? []
        : jobsOf(rollout).map(({ phase, job }) => [`${phase.id}/${job.id}`, job.state] as const)
    )
  const past = states(before)
  const several = now.phases.filter(({ state }) => state !== "SKIPPED").length > 1
  return jobsOf(now).flatMap(({ phase, job }) =>
    job.state === (past.get(`${phase.id}/${job.id}`) ?? "PENDING")
      ? []
      : [`${now.targetId.padEnd(12)} ${several ? `${phase.id} ` : ""}${job.id} ${job.state}`]
  )
}

/** As if nothing but the gate had begun. */
const onlyGate = (rollout: Rollout): Rollout => {
  const gate = gateOf(rollout)
  return {
    ...rollout,
    phases: rollout.phases
      .filter((phase) => phase === gate?.phase)
      .map((phase) => ({
        ...phase,
        deploymentJobs: gate === undefined ? {} : { predeployJob: gate.job }
      }))
  }
}

const EVERY = "250 millis"

/** Shows each change until the verdict is there, or `patience` is at its end: then it goes on unwatched. */
export const follow = (options: {
  readonly server: ServerAddress
  readonly rollout: string
  readonly until: keyof typeof verdicts
  readonly say: (line: string) => void
  readonly patience: `${number} minutes`
}): Effect.Effect<Settled, ToolFailed> =>
  Effect.gen(function* () {
    const { server, rollout, until, say } = options
    const read = Effect.map(must(ask(server, "GET", `v1/${rollout}`)), (body) => body as unknown as Rollout)
    // The gate was told by the other hook.
    let before = until === "ended" ? onlyGate(yield* read) : undefined
    const look = Effect.gen(function* () {
      const now = yield* read
      for (const line of news(before, now)) say(line)
      before = now
      return verdicts[until](now)
    })
    const settled: Effect.Effect<Settled, ToolFailed> = Effect.flatMap(look, (verdict) =>
      verdict._tag === "Going" ? Effect.delay(settled, EVERY) : Effect.succeed(verdict)
    )
    const found = yield* Effect.timeoutOption(settled, options.patience)
    return Option.getOrElse(found, () => ({ _tag: "Waits" as const, why: "it is not over yet" }))
  })

/** The last that a job has printed, for who pushed. */
export const logOf = (server: ServerAddress, jobRun: string | undefined, lines: number) =>
  jobRun === undefined
    ? Effect.succeed<ReadonlyArray<string>>([])
    : ask(server, "GET", `console/log?jobRun=${encodeURIComponent(jobRun)}`).pipe(
        Effect.map(({ body }) => ((body["lines"] ?? []) as ReadonlyArray<string>).slice(-lines))
      )
