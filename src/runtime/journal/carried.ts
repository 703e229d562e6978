/**
 * Runs what an activity does, and tells what it ended with: as `Workflow.intoResult` does, at a third of its cost.
 *
 * That forks within the fiber that asks, and takes the child's local state over when it joins: the state is compared entry by
 * entry, for each step. Here the child is a fiber of its own that begins with the asking one's state, as an activity does that
 * the library's engine runs in its entity; nothing of it is taken over.
 */
import type { Activity } from "@effect/workflow"
import { Workflow } from "@effect/workflow"
import { WorkflowInstance } from "@effect/workflow/WorkflowEngine"
import { Cause, Context, Effect, Exit, Fiber, Runtime, Scope } from "effect"

type Instance = WorkflowInstance["Type"]
type Result = Workflow.Result<unknown, unknown>
type Child = Fiber.RuntimeFiber<unknown, unknown>

/** What `Workflow.intoResult` makes of an exit. */
const resultOf = (own: Instance, exit: Exit.Exit<unknown, unknown>): Exit.Exit<Result> => {
  if (Exit.isSuccess(exit)) return Exit.succeed(new Workflow.Complete({ exit }))
  const { cause } = exit
  const { annotations } = own.workflow
  const interruptedOnly = Cause.isInterruptedOnly(cause)
  if (Context.get(annotations, Workflow.SuspendOnFailure)) {
    own.suspended = true
    if (!interruptedOnly) own.cause = Cause.die(Cause.squash(cause))
    return Exit.succeed(new Workflow.Suspended({ cause: own.cause }))
  }
  if (own.suspended && interruptedOnly) return Exit.succeed(new Workflow.Suspended({ cause: own.cause }))
  const kept = interruptedOnly ? cause : Cause.filter(cause, (part) => !Cause.isInterruptType(part))
  return interruptedOnly || (!Context.get(annotations, Workflow.CaptureDefects) && Cause.isDie(cause))
    ? Exit.failCause(kept as Cause.Cause<never>)
    : Exit.succeed(new Workflow.Complete({ exit: Exit.failCause(kept) }))
}

/**
 * Call it where it can't be interrupted; `restore` is that region's. `began` and `ended` are told of the fiber that is at work.
 * An instance of its own, as the library gives it: that the step is suspended or cut is not yet the execution's end.
 */
export const carried = (options: {
  readonly activity: Activity.Any
  readonly instance: Instance
  readonly restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly began: (child: Child) => void
  readonly ended: (child: Child) => void
}): Effect.Effect<Result> =>
  Effect.flatMap(Effect.zip(Scope.make(), Scope.make()), ([scope, kept]) =>
    Effect.withFiberRuntime<Result>((parent) => {
      const { activity, instance, restore, began, ended } = options
      const own = WorkflowInstance.of({
        executionId: instance.executionId,
        workflow: instance.workflow,
        scope: kept,
        suspended: false,
        interrupted: false,
        cause: undefined,
        activityState: { count: 0, latch: Effect.unsafeMakeLatch() }
      })
      const runtime = Runtime.make({
        context: parent.currentContext.pipe(
          Context.add(WorkflowInstance, own),
          Context.add(Scope.Scope, scope)
        ) as Context.Context<unknown>,
        fiberRefs: parent.getFiberRefs(),
        runtimeFlags: Runtime.defaultRuntimeFlags
      })
      const child = Runtime.runFork(runtime)(activity.executeEncoded)
      began(child)
      const done = (exit: Exit.Exit<unknown, unknown>) => {
        ended(child)
        return Effect.flatMap(Scope.close(scope, exit), () => {
          const result = resultOf(own, exit)
          const suspended = Exit.isSuccess(result) && result.value._tag === "Suspended"
          if (suspended) return result
          const end = Exit.isSuccess(result) && result.value._tag === "Complete" ? result.value.exit : result
          return Effect.zipRight(Scope.close(kept, end), result)
        })
      }
      return Effect.matchCauseEffect(restore(Fiber.await(child)), {
        onSuccess: done,
        onFailure: (cause) => Effect.zipRight(Fiber.interrupt(child), done(Exit.failCause(cause)))
      })
    })
  )
