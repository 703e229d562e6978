/**
 * A workflow engine that carries nothing out. What was recorded is answered; what was not is where the replay ends.
 *
 * It has the form of the library's own engine (`WorkflowEngine.makeUnsafe`), so the release's own handlers run on it unchanged.
 */
import { Workflow } from "@effect/workflow"
import { makeUnsafe, WorkflowEngine, WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { type Context, Effect, Either, Exit, Layer, Schema, type Scope } from "effect"
import { Answered } from "../../../surface/Declared.ts"
import { Recording } from "./Recording.ts"
import type { Session } from "./Session.ts"

type Decodable = Schema.Schema.AnyNoContext

/** A workflow function as it was registered. */
export type Registered = (
  payload: object,
  executionId: string
) => Effect.Effect<unknown, unknown, WorkflowInstance | WorkflowEngine>

export interface ReplayEngine {
  readonly engine: WorkflowEngine["Type"]
  readonly workflows: ReadonlyMap<string, Registered>
  /** Sessions of the executions that are being replayed. */
  readonly sessions: Map<string, Session>
  /** Answers steps without the engine, where the record holds a success. */
  readonly answered: Context.Tag.Service<typeof Answered>
}

/** Registers the handlers. They may ask for nothing but the engine: what else they need must have been provided. */
export const make = (
  handlers: Layer.Layer<never, never, WorkflowEngine>
): Effect.Effect<ReplayEngine, never, Scope.Scope> =>
  Effect.gen(function* () {
    const workflows = new Map<string, Registered>()
    const sessions = new Map<string, Session>()
    const session = Effect.map(WorkflowInstance, ({ executionId }) => sessions.get(executionId)!)
    const nothing = Effect.void

    const library = makeUnsafe({
      register: (workflow, execute) => Effect.sync(() => void workflows.set(workflow.name, execute)),
      activityExecute: () => Effect.dieMessage("replaced below"),
      deferredResult: ({ name, successSchema, errorSchema }) =>
        Effect.flatMap(session, (current) => {
          const clock = Recording.clockOf(name)
          const schemas = { success: successSchema, error: errorSchema }
          return clock === undefined
            ? current.answer({ kind: "deferred", name, attempt: 1 }, current.recording.deferred(name), schemas)
            : current.answer({ kind: "clock", name: clock, attempt: 1 }, current.recording.clock(clock), schemas)
        }),
      // Another workflow, started from within this one: what it answers is not among this one's records.
      execute: (workflow, { executionId, discard }) =>
        Effect.serviceOption(WorkflowInstance).pipe(
          Effect.flatMap((instance) => {
            const current = instance._tag === "Some" ? sessions.get(instance.value.executionId) : undefined
            if (current === undefined) return Effect.die(new Error("a replay starts no workflow"))
            const ask = { kind: "workflow", name: workflow.name, attempt: 1, id: executionId } as const
            // Nobody waits for it: the function goes on.
            if (discard && current.took(ask)) return Effect.succeed(Exit.void)
            return current.answer(ask, { _tag: "none" }, undefined)
          }),
          Effect.map((exit) => new Workflow.Complete({ exit }) as never)
        ),
      deferredDone: () => nothing,
      scheduleClock: () => nothing,
      interrupt: () => nothing,
      resume: () => nothing,
      poll: () => Effect.succeed(undefined)
    })
    // The library compiles a schema anew for each call of an activity: eight tenths of a replay's time, measured.
    const engine = WorkflowEngine.of({
      ...library,
      activityExecute: (activity, attempt) =>
        Effect.flatMap(session, (current) =>
          current.answer(
            { kind: "activity", name: activity.name, attempt },
            current.recording.activity(activity.name, attempt),
            { success: activity.successSchema, error: activity.errorSchema }
          )
        ).pipe(
          Effect.flatMap((exit) =>
            Exit.isSuccess(exit)
              ? Effect.map(
                  Schema.decodeUnknown(activity.successSchema as unknown as Decodable)(exit.value),
                  Exit.succeed
                )
              : Schema.decodeUnknown(activity.exitSchema as unknown as Decodable)(exit)
          ),
          Effect.orDie,
          Effect.map((exit) => new Workflow.Complete({ exit }) as never)
        )
    })
    // Nearly every step of an open execution has ended well, or is where the replay ends: neither needs what the library does
    // around an activity.
    const answered = Answered.of({
      answer: (executionId, { success }, name) => {
        const current = sessions.get(executionId)
        const recorded = current?.recording.activity(name, 1)
        if (current === undefined || recorded === undefined || current.beyond) return undefined
        const ask = { kind: "activity", name, attempt: 1 } as const
        if (recorded._tag === "none" || recorded._tag === "begun") return current.answer(ask, recorded, undefined)
        if (recorded._tag !== "recorded" || !Exit.isSuccess(recorded.exit)) return undefined
        try {
          const value = Schema.decodeUnknownEither(success)(recorded.exit.value)
          return Either.isRight(value) && current.took(ask) ? Effect.succeed(value.right) : undefined
        } catch {
          // A schema that waits, or whose own code throws: the engine says what comes of it.
          return undefined
        }
      }
    })
    yield* Layer.build(Layer.provide(handlers, Layer.succeed(WorkflowEngine, engine)))
    return { engine, workflows, sessions, answered }
  })
