/** Starts runs that were accepted and then forgotten by a crash (see `statements.acceptedOnly`). One runner of all does it. */
import { Singleton } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, type Layer, Schedule, Schema } from "effect"
import { agentWorkflow } from "../agent/AgentWorkflow.ts"
import * as versions from "../agent/versions.ts"
import { acceptedOnly } from "./statements.ts"

const INTERVAL = "10 seconds"
const BATCH = 50

/** The same in all versions. */
const { payloadSchema } = agentWorkflow.workflow

const round = Effect.gen(function* () {
  const forgotten = yield* acceptedOnly.run(BATCH)
  yield* Effect.forEach(
    forgotten,
    (run) => Schema.decode(payloadSchema)(run).pipe(Effect.flatMap((payload) => versions.start(run.workflow, payload))),
    { discard: true }
  )
}).pipe(Effect.catchAllCause((cause) => Effect.logWarning("Could not look for forgotten runs", cause)))

export const layer: Layer.Layer<never, never, Sharding | SqlClient | WorkflowEngine> = Singleton.make(
  "RestartAccepted",
  Effect.schedule(round, Schedule.spaced(INTERVAL))
)
