/** All that the gateway needs of the cluster: `AgentClient` over a client-only membership. */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import { Layer } from "effect"
import { AgentClient } from "./AgentClient.ts"
import * as Cluster from "./Cluster.ts"
import type { Pool } from "./Database.ts"
import type { RunnerSettings } from "./Settings.ts"

/** `settings` must be those of the runners: they decide which shard a session lies on. */
export const layer = (
  settings: Pick<RunnerSettings, "shardsPerGroup" | "shardGroups" | "messageStorage">
): Layer.Layer<AgentClient | Cluster.Cluster, SqlError, SqlClient | Pool> =>
  AgentClient.Default.pipe(Layer.provideMerge(Cluster.client(settings)))

export { AgentClient }
