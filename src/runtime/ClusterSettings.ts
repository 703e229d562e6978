/**
 * All timings of the cluster, with their reasons. The figures are of Effect 3.22 on Postgres 16; see the tests in `test/system`
 * for the bounds that are kept.
 *
 * How long a takeover takes after `kill -9` = notice the death + refresh the assignments + read the inbox. The library's
 * defaults (health each 60 s, expiration 35 s) made it 35 s. Who notices is `RunnerWatch`, on every runner.
 */
import { RunnerAddress, type ShardingConfig } from "@effect/cluster"
import { Duration, Option } from "effect"
import type { RunnerSettings } from "./Settings.ts"

type Config = ShardingConfig.ShardingConfig["Type"]

const timings = {
  /**
   * After which the row of a runner that no longer beats is ignored: what remains when nobody can be asked, such as a lost
   * node whose watchers are lost too. The library refreshes at a third of it, whatever `shardLockRefreshInterval` says,
   * and allows each lock query that third. At 1 s (expiration 5 s), busy runners missed the limit, dropped all their shards
   * and cut every activity; at 5 s still, with ten times the work that the processors could do. Hence 5 s to see soon that
   * the database is back, and `ClusterStorage` gives the queries longer than that.
   */
  shardLockExpiration: Duration.seconds(15),
  shardLockRefreshInterval: Duration.seconds(5),
  /** How late a runner notices that another came or went: half of a stop's takeover. One small query each time. */
  refreshAssignmentsInterval: Duration.millis(500),
  /** The library's own check, by one runner of all. `RunnerWatch` is quicker; this one also marks a runner healthy again. */
  runnerHealthCheckInterval: Duration.seconds(2),
  /**
   * How late a first call of a fresh process is picked up, and a durable sleep ends after a takeover (`Alarm`), and any message
   * whose notification went astray. Otherwise messages are announced, not polled for.
   */
  entityMessagePollInterval: Duration.millis(500),
  entityReplyPollInterval: Duration.millis(200),
  sendRetryInterval: Duration.millis(100),
  /**
   * How long a runner that gives a shard away lets begun steps go on, before it cuts them and they begin again elsewhere.
   * Workflows do not make it wait: between two steps they hand over (`agent/Handover.ts`). Meanwhile the calls to the other
   * sessions of that shard wait as well, so it must stay below the patience of `AgentClient`, 20 s.
   */
  entityTerminationTimeout: Duration.seconds(15),
  /**
   * A message for a type that this runner does not know is answered with a permanent failure after this time. None comes:
   * a runner joins only when it carries what is open (`Joining`), and starts choose what every live one carries. A day
   * is for what goes round both, and leaves time to end such a runner before anything is lost.
   */
  entityRegistrationTimeout: Duration.days(1),
  entityMaxIdleTime: Duration.minutes(10)
} satisfies Partial<Config>

/** Set once for a database: rows hold shard ids, and the numbers of the locks depend on both values. */
type Shards = Pick<RunnerSettings, "shardsPerGroup" | "shardGroups">

const shards = ({ shardsPerGroup, shardGroups }: Shards) => ({
  shardsPerGroup,
  availableShardGroups: shardGroups,
  // A client takes none; the library asks for a list all the same.
  assignedShardGroups: shardGroups
})

const defaults = {
  runnerShardWeight: 1,
  shardLockDisableAdvisory: false,
  preemptiveShutdown: true,
  entityMailboxCapacity: 4096,
  // Encoding messages to ourselves would find a schema that does not round-trip, at a third of the runner's CPU.
  simulateRemoteSerialization: false
} as const

export const runnerConfig = (settings: RunnerSettings): Config => ({
  ...defaults,
  ...timings,
  ...shards(settings),
  assignedShardGroups: settings.assignedShardGroups,
  runnerAddress: Option.some(RunnerAddress.make(settings.runner.host, settings.runner.port)),
  runnerListenAddress: Option.some(RunnerAddress.make(settings.listenHost, settings.runner.port))
})

export const clientConfig = (settings: Shards): Config => ({
  ...defaults,
  ...timings,
  ...shards(settings),
  runnerAddress: Option.none(),
  runnerListenAddress: Option.none()
})
