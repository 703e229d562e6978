/** Starts runs that were accepted and then forgotten by a crash (see `statements.acceptedOnly`). One runner of all does it. */
import { Singleton } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, type Layer, Schedule, Schema } from "effect"
import { agentWorkflow } from "../agent/AgentWorkflow.ts"
import { acceptedOnly } from "./statements.ts"

const INTERVAL = "10 seconds"
const BATCH = 50

const { workflow } = agentWorkflow

const round = Effect.gen(function* () {
  const forgotten = yield* acceptedOnly.run(BATCH)
  yield* Effect.forEach(
    forgotten,
    (run) =>
      Schema.decode(workflow.payloadSchema)(run).pipe(
        Effect.flatMap((payload) => workflow.execute(payload, { discard: true }))
      ),
    { discard: true }
  )
}).pipe(Effect.catchAllCause((cause) => Effect.logWarning("Could not look for forgotten runs", cause)))

export const layer: Layer.Layer<never, never, Sharding | SqlClient | WorkflowEngine> = Singleton.make(
  "RestartAccepted",
  Effect.schedule(round, Schedule.spaced(INTERVAL))
)
