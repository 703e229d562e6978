/** One runner in the test's own process, on a real database, with the storages and engines that the settings choose. */
import { MessageStorage, RunnerAddress, RunnerHealth, Runners, Sharding, ShardingConfig } from "@effect/cluster"
import type { SqlClient } from "@effect/sql/SqlClient"
import { Workflow } from "@effect/workflow"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Effect, Layer, Option, Schema } from "effect"
import { CurrentProcess } from "../../src/domain/CurrentProcess.ts"
import * as ClusterStorage from "../../src/runtime/ClusterStorage.ts"
import * as Database from "../../src/runtime/Database.ts"
import * as Engine from "../../src/runtime/Engine.ts"
import * as Holding from "../../src/runtime/Holding.ts"
import type { ShardEpochs } from "../../src/runtime/journal/ShardEpochs.ts"
import * as StepStore from "../../src/runtime/journal/StepStore.ts"
import * as Runs from "../../src/runtime/runs/Runs.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"

/** One execution for each `id`. */
export const workflowById = <const Name extends string, Success extends Schema.Schema.Any>(
  name: Name,
  success: Success
) => Workflow.make({ name, payload: { id: Schema.String }, success, idempotencyKey: ({ id }) => id })

export interface Kinds {
  readonly stepEngine: Engine.StepEngineKind
  readonly messageStorage: ClusterStorage.MessageStorageKind
}

export type Runner =
  | WorkflowEngine
  | Sharding.Sharding
  | MessageStorage.MessageStorage
  | ShardEpochs
  | StepStore.StepStore
  | Runs.Runs
  | SqlClient
  | Database.Pool

/** `url` is that of the role `runtime`. Two of them at once, with different names, share the shards by their locks alone. */
export const oneRunner = (
  url: string,
  kinds: Kinds,
  name = "one",
  release = "test",
  /** Stands between the engine and its storage. */
  around: (storage: MessageStorage.MessageStorage["Type"]) => MessageStorage.MessageStorage["Type"] = (same) => same
): Layer.Layer<Runner> =>
  Engine.layer(kinds.stepEngine).pipe(
    Layer.provideMerge(Layer.mergeAll(StepStore.layer, Holding.connected, Runs.connected)),
    Layer.provideMerge(Sharding.layer),
    Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop]),
    Layer.provideMerge(Runs.layer(kinds.stepEngine)),
    Layer.provideMerge(
      Layer.effect(MessageStorage.MessageStorage, Effect.map(MessageStorage.MessageStorage, around)).pipe(
        Layer.provideMerge(ClusterStorage.layer(kinds.messageStorage))
      )
    ),
    Layer.provide(
      ShardingConfig.layer({
        runnerAddress: Option.some(RunnerAddress.make(name, 1)),
        shardsPerGroup: 20,
        entityMessagePollInterval: 100,
        entityReplyPollInterval: 50,
        refreshAssignmentsInterval: 100,
        entityTerminationTimeout: 0,
        simulateRemoteSerialization: false
      })
    ),
    Layer.provideMerge(Database.layer(databaseFromUrl(url), { applicationName: `${name}:1`, maxConnections: 10 })),
    Layer.provide(Layer.succeed(CurrentProcess, { name, release })),
    Layer.orDie
  )
