/**
 * Where targets live while the server may come and go: Postgres, the identity provider and the clusters of all targets.
 *
 * A process of its own, as a cluster is on Google Cloud: `kill -9` of the server ends no pod and no hook. Jobs are known by a
 * key, so a server that starts again asks for the same Job and gets the one that runs, or its outcome.
 */
import { Schema } from "effect"

/** What a server needs to find its host. Written by the host, readable by the user alone. */
export class HostAddress extends Schema.Class<HostAddress>("HostAddress")({
  pid: Schema.Int,
  url: Schema.String,
  token: Schema.String,
  /** Superuser's URL of the database `rehearsal`, where the server keeps its state. */
  databaseUrl: Schema.String
}) {}

const KubeObjects = Schema.Array(Schema.Any)

export const JobOutcome = Schema.Struct({
  exitCode: Schema.Int,
  durationMs: Schema.Number,
  timedOut: Schema.Boolean,
  /** Ended before its time by `stopJob`. */
  stopped: Schema.Boolean,
  log: Schema.Array(Schema.String)
})
export type JobOutcome = typeof JobOutcome.Type

export const Pod = Schema.Struct({
  name: Schema.String,
  owner: Schema.String,
  address: Schema.String,
  phase: Schema.String,
  ready: Schema.Boolean,
  terminating: Schema.Boolean,
  restarts: Schema.Int,
  images: Schema.Array(Schema.String),
  startedAt: Schema.String
})
export type Pod = typeof Pod.Type

/** The calls of the host: each a POST of the first shape, answered by the second. */
export const calls = {
  /** Opens a target's cluster and database; nothing happens where it is open. */
  open: [Schema.Struct({ target: Schema.String }), Schema.Struct({})],
  apply: [Schema.Struct({ target: Schema.String, objects: KubeObjects }), Schema.Struct({})],
  /** Removes what the set's pipeline no longer has in it (`Cluster.prune`). Says what went, as `KIND/NAME`. */
  prune: [
    Schema.Struct({ target: Schema.String, objects: KubeObjects }),
    Schema.Struct({ removed: Schema.Array(Schema.String) })
  ],
  /** Waits for a rollout, some seconds at most; `reason` says why it can't succeed any more. */
  awaitRollout: [
    Schema.Struct({ target: Schema.String, objects: KubeObjects, waitMs: Schema.Number }),
    Schema.Struct({
      state: Schema.Literal("pending", "succeeded", "failed"),
      log: Schema.Array(Schema.String)
    })
  ],
  /** Starts the Job of this key unless it was started before. */
  startJob: [
    Schema.Struct({
      target: Schema.String,
      key: Schema.String,
      job: Schema.Any,
      timeoutMs: Schema.Number,
      env: Schema.Record({ key: Schema.String, value: Schema.String })
    }),
    Schema.Struct({})
  ],
  /** Its outcome, waited for some seconds at most. */
  awaitJob: [
    Schema.Struct({ key: Schema.String, waitMs: Schema.Number }),
    Schema.Struct({ outcome: Schema.NullOr(JobOutcome) })
  ],
  /** What the Job has printed from the given line on. */
  jobLog: [
    Schema.Struct({ key: Schema.String, from: Schema.Int }),
    Schema.Struct({ lines: Schema.Array(Schema.String) })
  ],
  stopJob: [Schema.Struct({ key: Schema.String }), Schema.Struct({})],
  pods: [Schema.Struct({}), Schema.Record({ key: Schema.String, value: Schema.Array(Pod) })],
  /** What Prometheus would read at the ready pods of this owner (`Deployment/agent-gateway`), by target. A pod that does not answer is left out. */
  metrics: [
    Schema.Struct({ owner: Schema.String }),
    Schema.Record({
      key: Schema.String,
      value: Schema.Array(Schema.Struct({ pod: Schema.String, text: Schema.String }))
    })
  ],
  service: [
    Schema.Struct({ target: Schema.String, service: Schema.String, port: Schema.String }),
    Schema.Struct({ host: Schema.String, port: Schema.Int })
  ],
  /** A token for the targets' gateways, of the rehearsal's own user. */
  token: [Schema.Struct({}), Schema.Struct({ token: Schema.String })],
  /** One read-only question to a target's database. */
  query: [
    Schema.Struct({ target: Schema.String, text: Schema.String }),
    Schema.Struct({ rows: Schema.Array(Schema.Any) })
  ],
  alive: [Schema.Struct({}), Schema.Struct({})],
  /** Ends the host, with every pod, Job and database in it. */
  end: [Schema.Struct({}), Schema.Struct({})]
} as const

export type Calls = typeof calls
export type Call = keyof Calls
export type Request<C extends Call> = Calls[C][0]["Type"]
export type Response<C extends Call> = Calls[C][1]["Type"]
