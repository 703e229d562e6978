/**
 * Replays open executions with the release's own workflow functions.
 *
 * The function runs from its start; recorded activities, deferreds and clocks are answered from the database, and where it
 * asks for something that nobody recorded, it waits. Nothing is carried out: there is no service behind it.
 *
 * A function that asks for time or chance is replayed a second time, with another time and another chance: when it asks for
 * other steps then, it is not fit to be resumed at all. Others are replayed twice too, the first of each workflow and then
 * every so many: that tells what no trap sees, as a counter of the module. When something recorded was not asked for, a third run looks beyond the frontier with made-up
 * answers, to tell work that now comes too late from work that nobody asks for any more.
 */
import { WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import {
  Context,
  Effect,
  FiberId,
  type Layer,
  Logger,
  LogLevel,
  Runtime,
  RuntimeFlags,
  Schema,
  type Scope
} from "effect"
import { Answered, type AnyDeclaration } from "../../../surface/Declared.ts"
import type { BegunActivity, Execution } from "../OpenWork.ts"
import * as Engine from "./Engine.ts"
import { takeTouched } from "./Forbidden.ts"
import { activityKey, Recording } from "./Recording.ts"
import { type Asked, keyOf, Session } from "./Session.ts"
import { Stage, stillChance, stillClock } from "./Stage.ts"

/** How one run of the function ended. */
export interface Trace {
  readonly asked: ReadonlyArray<Asked>
  /**
   * `waiting`: at the frontier. `stuck`: it waits for something that is not durable, a timer or a promise. `endless`: cut off.
   */
  readonly end: "completed" | "waiting" | "stuck" | "endless"
  /** What it touched besides its steps. */
  readonly outside: ReadonlyArray<string>
  /** It asked for time or chance. */
  readonly consulted: boolean
  /** It sleeps in memory where the run ended. */
  readonly asleep: boolean
}

export interface Replayed {
  readonly first: Trace
  readonly second: Trace
  /** Recorded attempts of activities that the function did not ask for. */
  readonly forgotten: ReadonlyArray<BegunActivity>
  /** Of those, the ones that it would ask for once it is past the frontier. */
  readonly late: ReadonlyArray<BegunActivity>
  /** What it would ask for beyond the frontier, answered with samples; looked at where something hangs on it. */
  readonly beyond?: Trace
}

export interface Replayer {
  /** Whether a handler was registered for this workflow. */
  readonly registered: (workflow: string) => boolean
  /** Undefined when the payload can't be read: that is another rule's finding. */
  readonly replay: (execution: Execution, declaration: AnyDeclaration) => Effect.Effect<Replayed | undefined>
}

/** Of each workflow, so many executions are replayed twice whatever they ask for, and then one in so many. */
const TWICE_FIRST = 200
const TWICE_EVERY = 16

/** Two moments more than a year apart, at another hour, and two ends of chance. */
const surroundings = [
  { now: Date.UTC(2031, 0, 15, 3, 7), chance: 0.04 },
  { now: Date.UTC(2032, 5, 16, 17, 41), chance: 0.96 }
] as const

/** A function that waits for a promise of its own, a digest for one, gets so many rounds of this. */
const ROUNDS = 40
const ROUND = "5 millis"
/** Before something is reported, the function gets this many rounds to ask for more. */
const CONFIRMING_ROUNDS = 4

/** The library makes these up; a race that was decided asks for none of its branches again. */
const ofTheLibrary = (name: string) => name.startsWith("DurableClock/") || name.startsWith("raceAll/")

/** Where time stands still and nothing is logged, traced or counted: made once, since making it was a tenth of a replay. */
const still = Effect.runtime<never>().pipe(
  Effect.withClock(stillClock),
  Effect.withRandom(stillChance),
  Effect.withTracerEnabled(false),
  Logger.withMinimumLogLevel(LogLevel.None),
  Effect.runSync,
  Runtime.disableRuntimeFlag(RuntimeFlags.RuntimeMetrics)
)

export const make = (
  handlers: Layer.Layer<never, never, WorkflowEngine>
): Effect.Effect<Replayer, never, Scope.Scope> =>
  Effect.map(Engine.make(handlers), (engine) => {
    const replayed = new Map<string, number>()
    const run = (
      execution: Execution,
      declaration: AnyDeclaration,
      payload: object,
      options: { readonly round: 0 | 1; readonly beyond: boolean; readonly confirming: boolean }
    ): Effect.Effect<Trace> =>
      Effect.gen(function* () {
        const { executionId } = execution
        const session = new Session(new Recording(execution), options.beyond)
        const outside = new Set<string>()
        let consulted = false
        let sleeping = 0
        const stage = new Stage({
          ...surroundings[options.round],
          outside: (what) => outside.add(what),
          consulted: () => {
            consulted = true
          },
          slept: (more) => {
            sleeping += more
          }
        })
        engine.sessions.set(executionId, session)
        takeTouched()
        const fiber = Runtime.runFork(
          still,
          engine.workflows.get(execution.workflow)!(payload, executionId).pipe(
            Effect.provide(
              Context.make(WorkflowInstance, WorkflowInstance.initial(declaration.workflow, executionId)).pipe(
                Context.add(WorkflowEngine, engine.engine),
                Context.add(Answered, engine.answered)
              )
            ),
            Effect.scoped
          ),
          { scheduler: stage, immediate: false }
        )
        let ends = stage.play()
        const rounds = options.confirming ? CONFIRMING_ROUNDS : 0
        for (let i = 0; ends && fiber.unsafePoll() === null; i++) {
          if (session.blocked ? i >= rounds : i >= ROUNDS) break
          yield* Effect.sleep(ROUND)
          ends = stage.play()
        }
        const end =
          !ends || session.full
            ? "endless"
            : fiber.unsafePoll() !== null
              ? "completed"
              : session.blocked
                ? "waiting"
                : "stuck"
        const trace: Trace = {
          asked: session.asked.slice(),
          end,
          outside: [...outside, ...takeTouched()],
          consulted,
          asleep: sleeping > 0
        }
        session.close()
        // The library keeps a fiber that has not ended.
        fiber.unsafeInterruptAsFork(FiberId.none)
        if (ends) stage.play()
        engine.sessions.delete(executionId)
        return trace
      })

    const forgottenBy = (execution: Execution, { asked }: Trace): ReadonlyArray<BegunActivity> => {
      if (execution.deferreds.some(({ name }) => name.startsWith("raceAll/"))) return []
      const keys = new Set(
        asked.filter(({ kind }) => kind === "activity").map((ask) => activityKey(ask.name, ask.attempt))
      )
      return execution.activities.filter(
        ({ name, attempt }) => !ofTheLibrary(name) && !keys.has(activityKey(name, attempt))
      )
    }

    return {
      registered: (workflow) => engine.workflows.has(workflow),
      replay: (execution, declaration) =>
        Effect.gen(function* () {
          const payload = payloadOf(execution, declaration)
          if (payload === undefined) return undefined
          const before = replayed.get(execution.workflow) ?? 0
          replayed.set(execution.workflow, before + 1)
          const once = (round: 0 | 1, confirming: boolean) =>
            run(execution, declaration, payload, { round, beyond: false, confirming })
          let first = yield* once(0, false)
          const twice = first.consulted || before < TWICE_FIRST || before % TWICE_EVERY === 0
          let second = twice ? yield* once(1, false) : first
          if (forgottenBy(execution, first).length > 0 || !agree(first, second)) {
            first = yield* once(0, true)
            second = yield* once(1, true)
          }
          const forgotten = forgottenBy(execution, first)
          // Where a suspended execution would sleep or begin a step, it may wait for something else.
          const elsewhere =
            execution.state === "suspended" &&
            first.asked.some(({ kind, answer }) => (kind === "clock" || kind === "activity") && answer === "none")
          if (forgotten.length === 0 && !elsewhere) return { first, second, forgotten, late: [] }
          const beyond = yield* run(execution, declaration, payload, { round: 0, beyond: true, confirming: true })
          const never = new Set(forgottenBy(execution, beyond))
          return { first, second, forgotten, late: forgotten.filter((each) => !never.has(each)), beyond }
        })
    }
  })

const payloadOf = ({ payload }: Execution, { workflow }: AnyDeclaration): object | undefined => {
  if (payload._tag === "damaged") return undefined
  const schema = workflow.payloadSchema as unknown as Schema.Schema.AnyNoContext
  try {
    const decoded = Schema.decodeUnknownOption(schema)(payload.value)
    return decoded._tag === "None" ? undefined : (decoded.value as object)
  } catch {
    return undefined
  }
}

/** Both asked for the same things in the same order. */
export const agree = (first: Trace, second: Trace): boolean =>
  first.asked.length === second.asked.length &&
  first.asked.every((ask, i) => keyOf(ask) === keyOf(second.asked[i]!)) &&
  first.end === second.end
