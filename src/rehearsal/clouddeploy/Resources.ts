/**
 * The Cloud Deploy resources of `clouddeploy/*.yaml`, in the form that people write and `gcloud deploy apply` reads.
 *
 * A subset of `deploy.cloud.google.com/v1`: exactly what the rehearsal carries out and `infra/` creates. The rest is refused by
 * name rather than dropped. Alternatives are optional keys with a filter, not unions: a typing mistake is then reported at its
 * own line instead of as a failure of every alternative.
 */
import { Schema } from "effect"
import { unknownZone } from "../engine/Policies.ts"
import { invalidSchedule } from "../engine/TimedPromotion.ts"
import { maybe, type NotHonoured } from "./YamlFile.ts"

export const API_VERSION = "deploy.cloud.google.com/v1"

export const NOT_HONOURED: NotHonoured = {
  tasks: "Run hooks as Skaffold customActions (`actions`); gcloud 528 crashes on tasks.",
  verifyConfig: "Use `verify: true` and the verify section of skaffold.yaml.",
  analysis: "Watch the soak with alerts instead.",
  runtimeConfig:
    "Google's automated canary knows Deployments only; the StatefulSet's partition does the stepping here.",
  canaryDeployment: "Use customCanaryDeployment: it works for a StatefulSet.",
  anthosCluster: "Use gke.",
  run: "Use gke: the runners are a StatefulSet.",
  multiTarget: "Use one stage per target.",
  customTarget: "Use gke."
}

const Name = Schema.String.pipe(
  Schema.pattern(/^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/, {
    message: () => "must be 1 to 63 lower case letters, digits and dashes, and begin with a letter"
  })
)
const Labels = Schema.Record({ key: Schema.String, value: Schema.String })
const Names = Schema.Array(Name)
const Minutes = Schema.String.pipe(
  Schema.pattern(/^\d+m$/, { message: () => 'must be whole minutes, such as "5m": gcloud accepts no other unit here' })
)
const Seconds = Schema.String.pipe(
  Schema.pattern(/^\d+s$/, { message: () => 'must be whole seconds, such as "3600s"' })
)
const TimeOfDay = Schema.String.pipe(
  Schema.pattern(/^([01]\d|2[0-4]):[0-5]\d$/, { message: () => 'must be a quoted time of day, such as "17:00"' })
)
/** As gcloud takes it: a minute by the wall clock of the window's zone, so without an offset. */
const Moment = Schema.String.pipe(
  Schema.filter((text) => {
    const day = /^(\d{4}-\d{2}-\d{2})[ T]([01]\d|2[0-3]):[0-5]\d$/.exec(text)?.[1]
    const at = new Date(`${day}T00:00:00Z`)
    return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(day!)
      ? undefined
      : 'must be a quoted day and time without an offset, such as "2026-12-24 17:00"'
  })
)
const Parameters = Schema.Record({ key: Schema.String, value: Schema.String })

const Metadata = Schema.Struct({
  name: Name,
  labels: maybe(Labels),
  annotations: maybe(Labels)
})

const Hook = Schema.Struct({ actions: Names })

const Fences = {
  predeploy: maybe(Hook),
  verify: maybe(Schema.Boolean),
  postdeploy: maybe(Hook)
}

const Standard = Schema.Struct(Fences)
export type Standard = typeof Standard.Type

const PhaseConfig = Schema.Struct({
  phaseId: Name,
  percentage: Schema.Int.pipe(Schema.between(0, 100)),
  profiles: maybe(Names),
  ...Fences
})
export type PhaseConfig = typeof PhaseConfig.Type

const Canary = Schema.Struct({
  customCanaryDeployment: Schema.Struct({ phaseConfigs: Schema.NonEmptyArray(PhaseConfig) })
})

const Strategy = Schema.Struct({ standard: maybe(Standard), canary: maybe(Canary) }).pipe(
  Schema.filter((value) =>
    (value.standard === undefined) === (value.canary === undefined)
      ? "needs exactly one of standard, canary"
      : undefined
  )
)

const Stage = Schema.Struct({
  targetId: Name,
  profiles: maybe(Names),
  deployParameters: maybe(Schema.Array(Schema.Struct({ values: Parameters, matchTargetLabels: maybe(Labels) }))),
  strategy: maybe(Strategy)
})
export type Stage = typeof Stage.Type

export const DeliveryPipeline = Schema.Struct({
  apiVersion: Schema.Literal(API_VERSION),
  kind: Schema.Literal("DeliveryPipeline"),
  metadata: Metadata,
  description: maybe(Schema.String),
  suspended: maybe(Schema.Boolean),
  serialPipeline: Schema.Struct({ stages: Schema.NonEmptyArray(Stage) })
})
export type DeliveryPipeline = typeof DeliveryPipeline.Type

export const Usage = Schema.Literal("RENDER", "PREDEPLOY", "DEPLOY", "VERIFY", "POSTDEPLOY", "ANALYSIS")

const ExecutionConfig = Schema.Struct({
  usages: Schema.NonEmptyArray(Usage),
  serviceAccount: maybe(Schema.String),
  artifactStorage: maybe(Schema.String),
  workerPool: maybe(Schema.String),
  executionTimeout: maybe(Seconds),
  verbose: maybe(Schema.Boolean)
})
export type ExecutionConfig = typeof ExecutionConfig.Type

export const Target = Schema.Struct({
  apiVersion: Schema.Literal(API_VERSION),
  kind: Schema.Literal("Target"),
  metadata: Metadata,
  description: maybe(Schema.String),
  requireApproval: maybe(Schema.Boolean),
  gke: Schema.Struct({
    cluster: Schema.String.pipe(
      Schema.pattern(/^projects\/[a-z][a-z0-9-]{4,28}[a-z0-9]\/locations\/[a-z0-9-]+\/clusters\/[a-z][a-z0-9-]*$/, {
        message: () => "must be projects/PROJECT/locations/LOCATION/clusters/CLUSTER"
      })
    ),
    internalIp: maybe(Schema.Boolean),
    dnsEndpoint: maybe(Schema.Boolean),
    proxyUrl: maybe(Schema.String)
  }).pipe(
    Schema.filter((gke) =>
      gke.internalIp === true && gke.dnsEndpoint === true ? "internalIp and dnsEndpoint exclude one another" : undefined
    )
  ),
  deployParameters: maybe(Parameters),
  executionConfigs: maybe(Schema.NonEmptyArray(ExecutionConfig))
})
export type Target = typeof Target.Type

const PromoteReleaseRule = Schema.Struct({
  id: Name,
  wait: maybe(Minutes),
  destinationTargetId: maybe(Schema.String),
  destinationPhase: maybe(Name)
})
export type PromoteReleaseRule = typeof PromoteReleaseRule.Type

const AdvanceRolloutRule = Schema.Struct({
  id: Name,
  wait: maybe(Minutes),
  sourcePhases: maybe(Names)
})
export type AdvanceRolloutRule = typeof AdvanceRolloutRule.Type

const Retry = Schema.Struct({
  attempts: Schema.Int.pipe(Schema.between(1, 10)),
  wait: maybe(Minutes),
  backoffMode: maybe(Schema.Literal("LINEAR", "EXPONENTIAL"))
})
export type Retry = typeof Retry.Type

const Rollback = Schema.Struct({
  destinationPhase: maybe(Name),
  disableRollbackIfRolloutPending: maybe(Schema.Boolean)
})
export type Rollback = typeof Rollback.Type

const RepairPhase = Schema.Struct({ retry: maybe(Retry), rollback: maybe(Rollback) }).pipe(
  Schema.filter((value) =>
    (value.retry === undefined) === (value.rollback === undefined) ? "needs exactly one of retry, rollback" : undefined
  )
)

const RepairRolloutRule = Schema.Struct({
  id: Name,
  phases: maybe(Names),
  jobs: maybe(Schema.Array(Schema.Literal("predeploy", "deploy", "verify", "postdeploy"))),
  repairPhases: Schema.NonEmptyArray(RepairPhase)
})
export type RepairRolloutRule = typeof RepairRolloutRule.Type

const TimedPromoteReleaseRule = Schema.Struct({
  id: Name,
  schedule: Schema.String,
  timeZone: Schema.String,
  destinationTargetId: maybe(Schema.String),
  destinationPhase: maybe(Name)
}).pipe(
  Schema.filter((rule) => {
    const message = invalidSchedule(rule)
    return message === undefined ? undefined : { path: [], message }
  })
)
export type TimedPromoteReleaseRule = typeof TimedPromoteReleaseRule.Type

const RULES = ["promoteReleaseRule", "advanceRolloutRule", "repairRolloutRule", "timedPromoteReleaseRule"] as const

const AutomationRule = Schema.Struct({
  promoteReleaseRule: maybe(PromoteReleaseRule),
  advanceRolloutRule: maybe(AdvanceRolloutRule),
  repairRolloutRule: maybe(RepairRolloutRule),
  timedPromoteReleaseRule: maybe(TimedPromoteReleaseRule)
}).pipe(
  Schema.filter((rule) =>
    RULES.filter((key) => rule[key] !== undefined).length === 1 ? undefined : `needs exactly one of ${RULES.join(", ")}`
  )
)
export type AutomationRule = typeof AutomationRule.Type

export const Automation = Schema.Struct({
  apiVersion: Schema.Literal(API_VERSION),
  kind: Schema.Literal("Automation"),
  metadata: Schema.Struct({
    /** `pipeline/automation`. */
    name: Schema.String.pipe(
      Schema.pattern(/^[a-z][a-z0-9-]*\/[a-z][a-z0-9-]*$/, { message: () => "must be PIPELINE/AUTOMATION" })
    ),
    labels: maybe(Labels),
    annotations: maybe(Labels)
  }),
  description: maybe(Schema.String),
  suspended: maybe(Schema.Boolean),
  serviceAccount: Schema.String,
  selector: Schema.Struct({
    targets: Schema.NonEmptyArray(Schema.Struct({ id: maybe(Schema.String), labels: maybe(Labels) }))
  }),
  rules: Schema.NonEmptyArray(AutomationRule)
})
export type Automation = typeof Automation.Type

export const PolicyAction = Schema.Literal(
  "ADVANCE",
  "APPROVE",
  "CANCEL",
  "CREATE",
  "IGNORE_JOB",
  "RETRY_JOB",
  "ROLLBACK",
  "TERMINATE_JOBRUN"
)
export const Invoker = Schema.Literal("USER", "DEPLOY_AUTOMATION")
const Day = Schema.Literal("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")

const RolloutRestriction = Schema.Struct({
  id: Name,
  /** Empty or absent: every action. */
  actions: maybe(Schema.Array(PolicyAction)),
  /** Empty or absent: everybody. */
  invokers: maybe(Schema.Array(Invoker)),
  timeWindows: Schema.Struct({
    timeZone: Schema.String.pipe(Schema.filter((zone) => unknownZone(zone))),
    weeklyWindows: maybe(
      Schema.NonEmptyArray(
        Schema.Struct({ daysOfWeek: maybe(Schema.Array(Day)), startTime: TimeOfDay, endTime: TimeOfDay })
      )
    ),
    oneTimeWindows: maybe(
      Schema.NonEmptyArray(
        Schema.Struct({ start: Moment, end: Moment }).pipe(
          Schema.filter(({ start, end }) => (start < end ? undefined : "its end must lie behind its start"))
        )
      )
    )
  }).pipe(
    Schema.filter(({ weeklyWindows, oneTimeWindows }) =>
      weeklyWindows === undefined && oneTimeWindows === undefined
        ? "needs weeklyWindows or oneTimeWindows: without a window it restricts nothing"
        : undefined
    )
  )
})
export type RolloutRestriction = typeof RolloutRestriction.Type

const Selected = Schema.Struct({ id: maybe(Schema.String), labels: maybe(Labels) })

export const DeployPolicy = Schema.Struct({
  apiVersion: Schema.Literal(API_VERSION),
  kind: Schema.Literal("DeployPolicy"),
  metadata: Metadata,
  description: maybe(Schema.String),
  suspended: maybe(Schema.Boolean),
  selectors: Schema.NonEmptyArray(Schema.Struct({ deliveryPipeline: maybe(Selected), target: maybe(Selected) })),
  rules: Schema.NonEmptyArray(Schema.Struct({ rolloutRestriction: RolloutRestriction }))
})
export type DeployPolicy = typeof DeployPolicy.Type
