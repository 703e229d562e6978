/** Cloud Deploy's resources in the JSON form of its REST API v1, as far as the rehearsal carries them out. */

export interface Resource {
  readonly name: string
  readonly uid?: string
  readonly etag?: string
  readonly createTime?: string
  readonly updateTime?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly description?: string
  readonly [field: string]: unknown
}

export interface Hooks {
  readonly predeploy?: { readonly actions?: ReadonlyArray<string> }
  readonly verify?: boolean
  readonly postdeploy?: { readonly actions?: ReadonlyArray<string> }
}

export interface Stage {
  readonly targetId: string
  readonly profiles?: ReadonlyArray<string>
  readonly deployParameters?: ReadonlyArray<{
    readonly values?: Readonly<Record<string, string>>
    readonly matchTargetLabels?: Readonly<Record<string, string>>
  }>
  readonly strategy?: {
    readonly standard?: Hooks
    readonly canary?: {
      readonly customCanaryDeployment?: {
        readonly phaseConfigs: ReadonlyArray<
          Hooks & { readonly phaseId: string; readonly percentage?: number; readonly profiles?: ReadonlyArray<string> }
        >
      }
    }
  }
}

export interface Pipeline extends Resource {
  readonly suspended?: boolean
  readonly serialPipeline?: { readonly stages?: ReadonlyArray<Stage> }
}

export interface Target extends Resource {
  readonly requireApproval?: boolean
  readonly deployParameters?: Readonly<Record<string, string>>
}

export interface Release extends Resource {
  readonly abandoned?: boolean
  readonly skaffoldConfigUri?: string
  readonly buildArtifacts?: ReadonlyArray<{ readonly image: string; readonly tag: string }>
  readonly deliveryPipelineSnapshot: Pipeline
  readonly targetSnapshots: ReadonlyArray<Target>
  readonly renderState: "SUCCEEDED" | "FAILED" | "IN_PROGRESS"
  readonly deployParameters?: Readonly<Record<string, string>>
}

export type JobState = "PENDING" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "ABORTED" | "SKIPPED" | "IGNORED"
export type JobId = "predeploy" | "deploy" | "verify" | "postdeploy"

export interface Job {
  readonly id: JobId
  readonly state: JobState
  readonly skipMessage?: string
  /** The name of its last run. */
  readonly jobRun?: string
  readonly [field: string]: unknown
}

export type JobField = "predeployJob" | "deployJob" | "verifyJob" | "postdeployJob"
/** In the order in which a phase runs them. */
export const JOB_FIELDS: ReadonlyArray<JobField> = ["predeployJob", "deployJob", "verifyJob", "postdeployJob"]

export interface Phase {
  readonly id: string
  readonly state: "PENDING" | "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "ABORTED" | "SKIPPED"
  readonly skipMessage?: string
  readonly deploymentJobs: { readonly [F in JobField]?: Job }
}

export type RolloutState =
  | "SUCCEEDED"
  | "FAILED"
  | "IN_PROGRESS"
  | "PENDING_APPROVAL"
  | "APPROVAL_REJECTED"
  | "PENDING"
  | "CANCELLING"
  | "CANCELLED"

export interface Rollout extends Resource {
  readonly targetId: string
  readonly state: RolloutState
  readonly approvalState: "NEEDS_APPROVAL" | "DOES_NOT_NEED_APPROVAL" | "APPROVED" | "REJECTED"
  readonly phases: ReadonlyArray<Phase>
  readonly failureReason?: string
  readonly deployFailureCause?: string
  readonly enqueueTime?: string
  readonly approveTime?: string
  readonly deployStartTime?: string
  readonly deployEndTime?: string
  readonly rollbackOfRollout?: string
  readonly rolledBackByRollouts?: ReadonlyArray<string>
}

export interface JobRun extends Resource {
  readonly phaseId: string
  readonly jobId: JobId
  readonly state: "IN_PROGRESS" | "SUCCEEDED" | "FAILED" | "TERMINATING" | "TERMINATED"
  readonly startTime: string
  readonly endTime?: string
}

export interface AutomationRule {
  readonly promoteReleaseRule?: {
    readonly id: string
    readonly wait?: string
    readonly destinationTargetId?: string
    readonly destinationPhase?: string
  }
  readonly advanceRolloutRule?: {
    readonly id: string
    readonly wait?: string
    readonly sourcePhases?: ReadonlyArray<string>
  }
  readonly repairRolloutRule?: {
    readonly id: string
    readonly phases?: ReadonlyArray<string>
    readonly jobs?: ReadonlyArray<string>
    readonly repairPhases?: ReadonlyArray<RepairPhase>
  }
  readonly timedPromoteReleaseRule?: {
    readonly id: string
    readonly schedule: string
    readonly timeZone: string
    readonly destinationTargetId?: string
    readonly destinationPhase?: string
  }
}

export interface RepairPhase {
  readonly retry?: { readonly attempts?: string | number; readonly wait?: string; readonly backoffMode?: string }
  readonly rollback?: { readonly destinationPhase?: string; readonly disableRollbackIfRolloutPending?: boolean }
}

export interface Automation extends Resource {
  readonly suspended?: boolean
  readonly selector?: {
    readonly targets?: ReadonlyArray<{ readonly id?: string; readonly labels?: Readonly<Record<string, string>> }>
  }
  readonly rules?: ReadonlyArray<AutomationRule>
}

export interface AutomationRun extends Resource {
  readonly state: "SUCCEEDED" | "CANCELLED" | "FAILED" | "IN_PROGRESS" | "PENDING" | "ABORTED"
  readonly stateDescription?: string
  readonly automationId: string
  readonly ruleId: string
  readonly targetId: string
}

export interface DeployPolicy extends Resource {
  readonly suspended?: boolean
  readonly selectors?: ReadonlyArray<{
    readonly deliveryPipeline?: Selected
    readonly target?: Selected
  }>
  readonly rules?: ReadonlyArray<{ readonly rolloutRestriction?: RolloutRestriction }>
}

export interface Selected {
  readonly id?: string
  readonly labels?: Readonly<Record<string, string>>
}

export interface TimeOfDay {
  readonly hours?: number
  readonly minutes?: number
}

export interface RolloutRestriction {
  readonly id: string
  readonly actions?: ReadonlyArray<string>
  readonly invokers?: ReadonlyArray<string>
  readonly timeWindows?: {
    readonly timeZone: string
    readonly weeklyWindows?: ReadonlyArray<{
      readonly daysOfWeek?: ReadonlyArray<string>
      readonly startTime?: TimeOfDay
      readonly endTime?: TimeOfDay
    }>
    readonly oneTimeWindows?: ReadonlyArray<{
      readonly startDate: CalendarDate
      readonly startTime?: TimeOfDay
      readonly endDate: CalendarDate
      readonly endTime?: TimeOfDay
    }>
  }
}

export interface CalendarDate {
  readonly year: number
  readonly month: number
  readonly day: number
}

export const lastOf = (name: string): string => name.slice(name.lastIndexOf("/") + 1)
/** `projects/p/locations/l/targets/dev` of `…/targets/dev/x/y` lies two segments up. */
export const parentOf = (name: string): string => name.split("/").slice(0, -2).join("/")
/** `projects/p/locations/l` */
export const locationOf = (name: string): string => name.split("/").slice(0, 4).join("/")
/** `projects/p/locations/l/deliveryPipelines/d` of anything below it. */
export const pipelineOf = (name: string): string => name.split("/").slice(0, 6).join("/")
/** `…/releases/r` of anything below it. */
export const releaseOf = (name: string): string => name.split("/").slice(0, 8).join("/")
