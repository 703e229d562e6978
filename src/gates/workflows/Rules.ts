/** Every rule of the workflow gate. A rule is a file in `rules/` and a line here. */
import type { CallRule, ExecutionRule, ResultRule } from "./Rule.ts"
import { activityGone } from "./rules/ActivityGone.ts"
import { activityResult } from "./rules/ActivityResult.ts"
import { clock } from "./rules/Clock.ts"
import { deferred } from "./rules/Deferred.ts"
import { entityCall } from "./rules/EntityCall.ts"
import { keptResult } from "./rules/KeptResult.ts"
import { payload } from "./rules/Payload.ts"
import { queue } from "./rules/Queue.ts"
import { retryBudget } from "./rules/RetryBudget.ts"
import { shard } from "./rules/Shard.ts"
import { workflowGone } from "./rules/WorkflowGone.ts"

/** Asked about every open execution that can still go on. */
export const executionRules: ReadonlyArray<ExecutionRule> = [
  workflowGone,
  payload,
  activityGone,
  activityResult,
  retryBudget,
  deferred,
  clock,
  queue,
  shard
]

/** Asked about every call of an entity that waits. */
export const callRules: ReadonlyArray<CallRule> = [entityCall]

/** Asked about every result of an ended execution that may still be asked for. */
export const resultRules: ReadonlyArray<ResultRule> = [keptResult]

export { poisoned } from "./rules/Poisoned.ts"
