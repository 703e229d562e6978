/**
 * How a process takes part in the cluster: a runner carries shards, a client only sends.
 *
 * The parts are put together here, and not by `NodeClusterSocket.layer`, for three reasons: that reads unprefixed HOST, PORT
 * and LISTEN_PORT from the environment, where Kubernetes puts values of its own; its storage layers need DDL rights; and
 * each part can be swapped for a better one.
 */

import {
  ClusterWorkflowEngine,
  type MessageStorage,
  RunnerServer,
  type RunnerStorage,
  Runners,
  Sharding,
  ShardingConfig,
  SocketRunner
} from "@effect/cluster"
import type { SocketServerError } from "@effect/platform/SocketServer"
import { RpcSerialization, RpcServer } from "@effect/rpc"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import type { WorkflowEngine } from "@effect/workflow/WorkflowEngine"
import { Layer } from "effect"
import * as Alarm from "./Alarm.ts"
import { clientConfig, runnerConfig } from "./ClusterSettings.ts"
import * as ClusterSockets from "./ClusterSockets.ts"
import * as ClusterStorage from "./ClusterStorage.ts"
import type { Pool } from "./Database.ts"
import * as Engine from "./Engine.ts"
import * as Holding from "./Holding.ts"
import * as Inbox from "./Inbox.ts"
import * as StepStore from "./journal/StepStore.ts"
import * as RunnerWatch from "./RunnerWatch.ts"
import * as Runs from "./runs/Runs.ts"
import type { RunnerSettings } from "./Settings.ts"

export type Cluster =
  | Sharding.Sharding
  | Runners.Runners
  | MessageStorage.MessageStorage
  | RunnerStorage.RunnerStorage
  | ShardingConfig.ShardingConfig
  | WorkflowEngine

/** Binary, and without a limit on a frame's size: the frames come from our own processes alone. */
const serialization = RpcSerialization.layerMsgPack

const protocol = ClusterSockets.protocol.pipe(Layer.provide(serialization))

/**
 * As `SocketRunner.layer`, but for what the server tells of: that goes by `Runs` first. Who talks to this process is heard until
 * the shards are given away, as there: a socket that comes while the port is open and nobody takes it keeps the process from ending.
 */
const serving = RunnerServer.layer.pipe(
  Layer.provide(Runs.told),
  Layer.provideMerge(Sharding.layer),
  Layer.provideMerge(Runners.layerRpc),
  Layer.provide(RpcServer.layerProtocolSocketServer)
)

/** Listens, joins the ring and takes shards. The entities and workflows that it serves are registered on top. */
export const runner = (
  settings: RunnerSettings
): Layer.Layer<Cluster, SocketServerError | SqlError, SqlClient | Pool> =>
  Engine.layer(settings.stepEngine).pipe(
    Layer.provide(StepStore.layer),
    Layer.provideMerge(
      Layer.mergeAll(RunnerWatch.layer, Inbox.layer, Holding.connected, Alarm.connected, Runs.connected)
    ),
    Layer.provideMerge(serving),
    Layer.provide(RunnerWatch.health(settings.runnerHealth).pipe(Layer.provide(Runners.layerRpc))),
    Layer.provide([ClusterSockets.server, protocol, serialization]),
    Layer.provideMerge(Runs.layer(settings.stepEngine)),
    Layer.provideMerge(ClusterStorage.layer(settings.messageStorage)),
    Layer.provideMerge(ShardingConfig.layer(runnerConfig(settings)))
  )

/** Sends to entities and workflows without carrying any. */
export const client = (
  settings: Pick<RunnerSettings, "shardsPerGroup" | "shardGroups" | "messageStorage">
): Layer.Layer<Cluster, SqlError, SqlClient | Pool> =>
  ClusterWorkflowEngine.layer.pipe(
    Layer.provideMerge(SocketRunner.layerClientOnly),
    Layer.provide(protocol),
    Layer.provideMerge(ClusterStorage.layer(settings.messageStorage)),
    Layer.provideMerge(ShardingConfig.layer(clientConfig(settings)))
  )
