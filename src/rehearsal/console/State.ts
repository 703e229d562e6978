/**
 * What the console shows: one JSON snapshot (`GET /console/state`), sent again after every change (`GET /console/events`, server-sent
 * events named `state`). Times are RFC 3339. Actions of the page are the API's own methods; its session's cookie opens those alone.
 */
import { Schema } from "effect"

export const JobView = Schema.Struct({
  /** `predeploy`, `deploy`, `verify`, `postdeploy` */
  id: Schema.String,
  state: Schema.String,
  /** The full name of its last run; `GET /console/log?jobRun=NAME&from=N` has its output. */
  jobRun: Schema.NullOr(Schema.String),
  /** The custom actions of a hook. */
  actions: Schema.Array(Schema.String),
  startTime: Schema.NullOr(Schema.String),
  endTime: Schema.NullOr(Schema.String),
  failure: Schema.NullOr(Schema.String)
})

export const PhaseView = Schema.Struct({
  id: Schema.String,
  state: Schema.String,
  /** `:advance` may begin it now. */
  advanceable: Schema.Boolean,
  jobs: Schema.Array(JobView)
})

export const RolloutView = Schema.Struct({
  name: Schema.String,
  id: Schema.String,
  release: Schema.String,
  target: Schema.String,
  state: Schema.String,
  approvalState: Schema.String,
  description: Schema.String,
  failureReason: Schema.NullOr(Schema.String),
  rollbackOf: Schema.NullOr(Schema.String),
  createTime: Schema.String,
  endTime: Schema.NullOr(Schema.String),
  phases: Schema.Array(PhaseView)
})

export const ReleaseView = Schema.Struct({
  name: Schema.String,
  id: Schema.String,
  createTime: Schema.String,
  renderState: Schema.String,
  abandoned: Schema.Boolean,
  commit: Schema.NullOr(Schema.String),
  images: Schema.Record({ key: Schema.String, value: Schema.String })
})

export const TargetView = Schema.Struct({
  id: Schema.String,
  requireApproval: Schema.Boolean,
  /** The release that last succeeded here. */
  current: Schema.NullOr(Schema.String),
  /** The releases that a rollback may bring back, the best choice first. */
  rollbackChoices: Schema.Array(Schema.String)
})

export const AutomationRunView = Schema.Struct({
  id: Schema.String,
  automation: Schema.String,
  rule: Schema.String,
  target: Schema.String,
  state: Schema.String,
  description: Schema.String,
  /** When it acts, before the clock is scaled. */
  dueTime: Schema.String
})

export const PodView = Schema.Struct({
  name: Schema.String,
  target: Schema.String,
  owner: Schema.String,
  phase: Schema.String,
  ready: Schema.Boolean,
  terminating: Schema.Boolean,
  restarts: Schema.Int,
  image: Schema.String,
  startedAt: Schema.String
})

/** What a target's own database says. */
export const RuntimeView = Schema.Struct({
  target: Schema.String,
  runners: Schema.Array(Schema.Struct({ name: Schema.String, release: Schema.String })),
  /** All groups of shards: one whose shards nobody owns stands in none of the rows below. */
  groups: Schema.Array(Schema.String),
  /** Owners by the name of their session: `POD.…`. */
  shards: Schema.Array(Schema.Struct({ owner: Schema.String, group: Schema.String, shards: Schema.Int })),
  open: Schema.Array(Schema.Struct({ workflow: Schema.String, release: Schema.String, open: Schema.Int })),
  /** Why nothing of it could be read. */
  problem: Schema.NullOr(Schema.String)
})
export type RuntimeView = typeof RuntimeView.Type

/** Requests per second at a target's gateways, oldest first. Probes are not counted. */
export const LoadView = Schema.Struct({
  target: Schema.String,
  points: Schema.Array(
    Schema.Struct({
      /** The end of the few seconds that it counts. */
      at: Schema.String,
      /** Gateways that were asked. */
      gateways: Schema.Int,
      answered: Schema.Number,
      /** 429: more than the gateway lets in. */
      refused: Schema.Number,
      /** 5xx */
      failed: Schema.Number
    })
  )
})
export type LoadView = typeof LoadView.Type

export const State = Schema.Struct({
  at: Schema.String,
  /** Waits of automations are this many times shorter than written. */
  clockScale: Schema.Number,
  pipelines: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      id: Schema.String,
      suspended: Schema.Boolean,
      /** In the pipeline's order. */
      targets: Schema.Array(TargetView),
      /** Newest first. */
      releases: Schema.Array(ReleaseView),
      rollouts: Schema.Array(RolloutView),
      automationRuns: Schema.Array(AutomationRunView)
    })
  ),
  fleet: Schema.Array(PodView),
  runtimes: Schema.Array(RuntimeView),
  load: Schema.Array(LoadView)
})
export type State = typeof State.Type
