/**
 * The story of a rehearsal: two releases walk to production under load, a bad one is refused, production is rolled back,
 * and everything that was accepted on the way ends well.
 */
import { Clock, Effect, Schedule, type Scope } from "effect"
import type { CallFailed } from "../drills/GatewayClient.ts"
import * as Invariants from "../drills/Invariants.ts"
import type { ReleaseFiles } from "./Delivery.ts"
import type { DriverFailed, ManifestRefused, NotFound } from "./drivers/Driver.ts"
import type { ToolFailed } from "./Errors.ts"
import * as Live from "./Live.ts"
import type { LoadSummary, SteadyLoad } from "./load/SteadyLoad.ts"
import { type Progress, seconds } from "./Progress.ts"
import * as Recorded from "./Recorded.ts"
import type { Release } from "./release/Release.ts"
import type { Step } from "./report/Report.ts"
import { gatewayOf, type RolloutOutcome, rollOut, type Target } from "./Target.ts"

export interface Releases {
  readonly predecessor: Release
  readonly current: Release
  readonly bad: Release
}

export interface WalkOptions {
  readonly releases: Releases
  readonly filesOf: (release: Release) => ReleaseFiles
  /** In the pipeline's order, up to where the walk goes. */
  readonly targets: ReadonlyArray<Target>
  readonly progress: Progress
  readonly token: Effect.Effect<string>
  readonly startLoad: (target: Target) => Effect.Effect<SteadyLoad, ToolFailed | NotFound | DriverFailed, Scope.Scope>
  /** Asked before a rollout to a target that requires approval. `false` rejects it. */
  readonly approve: (release: Release, target: string) => Effect.Effect<boolean, ToolFailed>
  /** Runs on staging once the first release is there. */
  readonly drill: (target: Target) => Effect.Effect<Step, ToolFailed | DriverFailed | ManifestRefused>
  /** Runs on production under load, once this commit is there. No step where no node can be drained. */
  readonly drain?: (target: Target) => Effect.Effect<Step | undefined, ToolFailed | DriverFailed>
}

export interface WalkResult {
  readonly steps: ReadonlyArray<Step>
  readonly problems: ReadonlyArray<string>
  readonly load: LoadSummary | undefined
  readonly runs: number
  readonly executionsLost: number
  readonly eventsDoubled: number
}

type WalkError = ToolFailed | DriverFailed | ManifestRefused | NotFound | CallFailed

/** Runs that wait for approval on each target while releases change below them: the work that a bad release would strand. */
const WAITING_RUNS = 3
const WAITING_MESSAGE = "approve this before you go on"
const SETTLE_MS = 60_000
const settleSchedule = Schedule.spaced("200 millis").pipe(Schedule.upTo(SETTLE_MS))

export const LOAD_SESSIONS = "load-"

const startWaiting = (target: Target, options: WalkOptions): Effect.Effect<ReadonlyArray<string>, WalkError> =>
  Effect.gen(function* () {
    const gateway = yield* gatewayOf(target, options.token)
    const ids = Array.from({ length: WAITING_RUNS }, (_, index) => `waiting-${target.stage.targetId}-${index + 1}`)
    yield* Effect.forEach(
      ids,
      (id) =>
        gateway
          .startRun({ sessionId: id, runId: id, message: WAITING_MESSAGE })
          .pipe(Effect.andThen(gateway.waitFor(id, "waiting", SETTLE_MS))),
      { concurrency: WAITING_RUNS }
    )
    yield* options.progress.say(
      target.stage.targetId,
      `${WAITING_RUNS} runs started and waiting for a person's approval`
    )
    return ids
  })

const approveWaiting = (
  target: Target,
  ids: ReadonlyArray<string>,
  options: WalkOptions
): Effect.Effect<void, WalkError> =>
  Effect.gen(function* () {
    const gateway = yield* gatewayOf(target, options.token)
    yield* Effect.forEach(
      ids,
      (id) => gateway.approve(id).pipe(Effect.andThen(gateway.waitFor(id, "completed", SETTLE_MS))),
      { concurrency: WAITING_RUNS }
    )
    yield* options.progress.say(
      target.stage.targetId,
      `${ids.length} runs approved under another release than began them: all completed`
    )
  })

/** Carries out the whole story. A rollout that ends otherwise than it must ends the story; the rest is still checked. */
export const walk = (options: WalkOptions): Effect.Effect<WalkResult, WalkError, Scope.Scope> =>
  Effect.gen(function* () {
    const { releases, targets, progress } = options
    const steps: Array<Step> = []
    const problems: Array<string> = []
    const waiting = new Map<Target, ReadonlyArray<string>>()
    let load: SteadyLoad | undefined
    let rollouts = 0

    const roll = (
      target: Target,
      release: Release,
      purpose: string,
      more: { expected?: Step["outcome"]; startAt?: string } = {}
    ) =>
      Effect.gen(function* () {
        const expected = more.expected ?? "succeeded"
        const { requireApproval } = target.stage
        if (requireApproval && !(yield* options.approve(release, target.stage.targetId))) {
          problems.push(`The rollout of ${release.name} to ${target.stage.targetId} was rejected.`)
          return undefined
        }
        const outcome = yield* rollOut({
          target,
          release,
          files: options.filesOf(release),
          progress,
          purpose,
          expected,
          number: ++rollouts,
          ...(requireApproval ? { approvedAt: yield* Clock.currentTimeMillis } : {}),
          ...(more.startAt === undefined ? {} : { startAt: more.startAt })
        })
        steps.push(...outcome.steps)
        for (const { name, live } of outcome.steps) {
          if (live !== undefined && !Live.allLive(live)) {
            problems.push(`${name}: not both releases had a live runner (${Live.print(live)}).`)
          }
        }
        const last = outcome.steps.at(-1)
        if (last === undefined || !last.expected) {
          const failure = outcome.result.failure
          problems.push(
            `${last?.name ?? purpose} ${last?.outcome ?? "did not run"} (expected: ${expected})` +
              `${failure === undefined ? "" : `, at ${failure.kind} ${failure.name}: ${failure.log.at(-1) ?? "it printed nothing"}`}`
          )
          return undefined
        }
        return outcome
      })

    const walkTo = (
      release: Release,
      purpose: string,
      after: (target: Target) => Effect.Effect<unknown, WalkError, Scope.Scope>
    ) =>
      Effect.gen(function* () {
        for (const target of targets) {
          if ((yield* roll(target, release, purpose)) === undefined) return false
          yield* after(target)
        }
        return true
      })

    const production = targets.at(-1)!
    const story = Effect.gen(function* () {
      yield* progress.say(
        "rehearsal",
        `first release ${releases.predecessor.name}: what production runs before this commit`
      )
      const installed = yield* walkTo(releases.predecessor, "first release", (target) =>
        Effect.gen(function* () {
          waiting.set(target, yield* startWaiting(target, options))
          if (target === production) load = yield* options.startLoad(target)
        })
      )
      if (!installed) return

      yield* progress.say("rehearsal", `second release ${releases.current.name}: this commit`)
      const faults = (target: Target) => [
        ...(target.stage.targetId === "staging" ? [options.drill(target)] : []),
        ...(target === production && options.drain !== undefined ? [options.drain(target)] : [])
      ]
      const promoted = yield* walkTo(releases.current, "this commit", (target) =>
        Effect.forEach(faults(target), (fault) =>
          Effect.map(fault, (step) => {
            if (step === undefined) return
            steps.push(step)
            if (!step.expected) problems.push(`${step.name} ${step.outcome}`)
          })
        )
      )
      if (!promoted) return

      yield* progress.say(
        "rehearsal",
        `a bad release ${releases.bad.name}: an activity renamed while executions wait past it`
      )
      const refused = yield* roll(targets[0]!, releases.bad, "bad release", { expected: "refused" })
      if (refused === undefined || !refusedAtGate(refused)) {
        problems.push("The bad release was not refused at the workflow gate.")
        return
      }

      yield* progress.say("rehearsal", `rolling ${production.stage.targetId} back to ${releases.predecessor.name}`)
      yield* roll(production, releases.predecessor, "rollback", { startAt: "stable" })

      const recorded = yield* Recorded.check(production, releases.current)
      yield* Effect.forEach(recorded.lines, (line) => progress.say(production.stage.targetId, line))
      problems.push(...recorded.problems)
    })
    yield* story

    yield* progress.say("rehearsal", "ending the load, approving what waits, asking the databases")
    yield* Effect.forEach(waiting, ([target, ids]) => approveWaiting(target, ids, options), {
      concurrency: "unbounded"
    }).pipe(Effect.catchAll((error) => Effect.sync(() => problems.push(error.message))))
    const loadSummary = load === undefined ? undefined : yield* load.stop
    const verdicts = yield* Effect.forEach(
      targets.filter((target) => target.deployed.length > 0),
      (target) => settled(target).pipe(Effect.map((verdict) => ({ target, verdict })))
    )

    let executionsLost = 0
    let eventsDoubled = loadSummary?.eventsDoubled ?? 0
    let runs = 0
    for (const { verdict } of verdicts) {
      executionsLost += verdict.executionsLost
      eventsDoubled += verdict.eventsDoubled
      runs += verdict.runs
      problems.push(...verdict.findings)
    }
    if (loadSummary !== undefined) {
      // What a client was told to be accepted and the database does not hold is lost, though no row says so.
      const held = yield* Invariants.check(production.stage.targetId, production.platform.query, `${LOAD_SESSIONS}%`)
      const vanished = Math.max(0, loadSummary.runsAccepted - held.runs)
      executionsLost += vanished
      if (vanished > 0) problems.push(`${vanished} runs were accepted under load and are not in the database.`)
      if (loadSummary.requestsFailed > 0) {
        problems.push(`${loadSummary.requestsFailed} requests of the load failed.`, ...(load?.complaints() ?? []))
      }
      if (loadSummary.runsUnfinished > 0)
        problems.push(`${loadSummary.runsUnfinished} runs of the load did not end within a minute.`)
      if (loadSummary.eventsOutOfOrder > 0)
        problems.push(`Clients saw ${loadSummary.eventsOutOfOrder} events out of order.`)
      if (loadSummary.eventsDoubled > 0) problems.push(`Clients saw ${loadSummary.eventsDoubled} events twice.`)
      yield* progress.say(
        production.stage.targetId,
        `load: ${loadSummary.requests} requests, ${loadSummary.requestsFailed} failed; ${loadSummary.runsAccepted} runs accepted, ${held.runs} in the database`
      )
    }
    yield* progress.say("rehearsal", `done after ${seconds(progress.elapsedMs())}`)
    return { steps, problems, load: loadSummary, runs, executionsLost, eventsDoubled }
  })

const refusedAtGate = (outcome: RolloutOutcome): boolean => outcome.result.failure?.name === "gate-workflows"

/** The invariant, once nothing is open any more or the time for that is over. */
const settled = (target: Target) =>
  Invariants.check(target.stage.targetId, target.platform.query).pipe(
    Effect.repeat({
      until: (verdict) => verdict.executionsLost === 0,
      schedule: settleSchedule
    }),
    Effect.andThen(Invariants.check(target.stage.targetId, target.platform.query))
  )
