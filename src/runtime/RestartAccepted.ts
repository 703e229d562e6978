/**
 * Starts runs that were accepted and then forgotten by a crash (see `statements.acceptedOnly`). One runner of each shard group does
 * it for the workflows of its group, so that a pool of runners waits for no other pool's.
 *
 * The other singletons (`EngineLife`, `EventRetentionLife`, the library's health check) are in the group `default` alone: what they
 * look after can wait until that pool is back, and each runner watches every other one by itself (`RunnerWatch`).
 */
import { Singleton } from "@effect/cluster"
import type { Sharding } from "@effect/cluster/Sharding"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, Layer, Schedule, Schema } from "effect"
import { agentWorkflow } from "../agent/AgentWorkflow.ts"
import * as versions from "../agent/versions.ts"
import { DEFAULT_GROUP, ENTERPRISE } from "../domain/Ids.ts"
import { acceptedOnly } from "./statements.ts"

const INTERVAL = "10 seconds"
const BATCH = 50

/** The same in all versions. */
const { payloadSchema } = agentWorkflow.workflow

const round = (group: string) =>
  Effect.gen(function* () {
    const forgotten = yield* acceptedOnly.run(BATCH, versions.workflowsIn(group))
    yield* Effect.forEach(
      forgotten,
      (run) =>
        Schema.decode(payloadSchema)(run).pipe(Effect.flatMap((payload) => versions.start(run.workflow, payload))),
      { discard: true }
    )
  }).pipe(Effect.catchAllCause((cause) => Effect.logWarning("Could not look for forgotten runs", cause)))

const inGroup = (group: string) =>
  Singleton.make("RestartAccepted", Effect.schedule(round(group), Schedule.spaced(INTERVAL)), { shardGroup: group })

export const layer: Layer.Layer<never, never, Sharding | SqlClient | WorkflowEngine> = Layer.mergeAll(
  inGroup(DEFAULT_GROUP),
  inGroup(ENTERPRISE)
)
