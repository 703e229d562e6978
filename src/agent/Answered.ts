/**
 * Steps whose outcome is at hand.
 *
 * A replay answers thousands of executions from their records. Of its time, two thirds went to what the library does around
 * an activity that then does not run. So a step asks here first; what is answered here never reaches the engine.
 */
import { Context, type Effect } from "effect"
import type { ActivityDeclaration } from "./Declaration.ts"

interface Answering {
  /** Undefined where nothing is at hand, as in a runner. Answers undefined for a step that the engine must be asked for. */
  readonly answer:
    | ((executionId: string, activity: ActivityDeclaration, name: string) => Effect.Effect<unknown> | undefined)
    | undefined
}

export class Answered extends Context.Reference<Answered>()("agent/Answered", {
  defaultValue: (): Answering => ({ answer: undefined })
}) {}
