/**
 * From the YAML that people write (and `gcloud deploy apply` reads) to the inputs of Pulumi's resources. Pure.
 *
 * The two forms differ in small ways that neither side explains: `wait: 5m` is "300s" in the API, `LINEAR` is
 * `BACKOFF_MODE_LINEAR`, a time of day is an object, `attempts` is a string, `daysOfWeek` got an s more.
 */
import type * as gcp from "@pulumi/gcp"
import type {
  Automation,
  AutomationRule,
  DeliveryPipeline,
  DeployPolicy,
  Retry,
  Stage,
  Target
} from "../src/rehearsal/clouddeploy/Resources.ts"

/** `5m` becomes `300s`. */
export const waitSeconds = (wait: string): string => {
  const minutes = /^(\d+)m$/.exec(wait)
  if (minutes === null) throw new Error(`"${wait}" is not a number of whole minutes, such as "5m"`)
  return `${Number(minutes[1]) * 60}s`
}

/** `17:30` becomes `{hours: 17, minutes: 30}`; `24:00` is the end of the day. */
export const timeOfDay = (time: string): { readonly hours: number; readonly minutes: number } => {
  const parts = /^(\d\d):(\d\d)$/.exec(time)
  if (parts === null) throw new Error(`"${time}" is not a time of day, such as "17:30"`)
  return { hours: Number(parts[1]), minutes: Number(parts[2]) }
}

/** Leaves out what is undefined: an optional input that is present and undefined is not the same to Pulumi's types. */
const some = <A extends object>(value: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof A]: Exclude<A[K], undefined>
  }

const list = <A>(values: ReadonlyArray<A> | undefined): Array<A> | undefined =>
  values === undefined ? undefined : [...values]

interface Fences {
  readonly predeploy?: { readonly actions: ReadonlyArray<string> }
  readonly verify?: boolean
  readonly postdeploy?: { readonly actions: ReadonlyArray<string> }
}

const fences = (from: Fences) => ({
  ...(from.predeploy === undefined ? {} : { predeploy: { actions: [...from.predeploy.actions] } }),
  ...(from.verify === undefined ? {} : { verify: from.verify }),
  ...(from.postdeploy === undefined ? {} : { postdeploy: { actions: [...from.postdeploy.actions] } })
})

const strategyInput = (strategy: NonNullable<Stage["strategy"]>) => ({
  ...(strategy.standard === undefined ? {} : { standard: fences(strategy.standard) }),
  ...(strategy.canary === undefined
    ? {}
    : {
        canary: {
          customCanaryDeployment: {
            phaseConfigs: strategy.canary.customCanaryDeployment.phaseConfigs.map((phase) => ({
              phaseId: phase.phaseId,
              percentage: phase.percentage,
              ...(phase.profiles === undefined ? {} : { profiles: [...phase.profiles] }),
              ...fences(phase)
            }))
          }
        }
      })
})

export const pipelineInput = (
  pipeline: DeliveryPipeline
): Pick<gcp.clouddeploy.DeliveryPipelineArgs, "name" | "description" | "labels" | "suspended" | "serialPipeline"> => ({
  name: pipeline.metadata.name,
  ...some({ description: pipeline.description, labels: pipeline.metadata.labels, suspended: pipeline.suspended }),
  serialPipeline: {
    stages: pipeline.serialPipeline.stages.map((stage) => ({
      targetId: stage.targetId,
      ...(stage.profiles === undefined ? {} : { profiles: [...stage.profiles] }),
      ...(stage.deployParameters === undefined
        ? {}
        : {
            deployParameters: stage.deployParameters.map(({ values, matchTargetLabels }) => ({
              values,
              ...some({ matchTargetLabels })
            }))
          }),
      ...(stage.strategy === undefined ? {} : { strategy: strategyInput(stage.strategy) })
    }))
  }
})

export const targetInput = (
  target: Target
): Pick<
  gcp.clouddeploy.TargetArgs,
  "name" | "description" | "labels" | "requireApproval" | "gke" | "deployParameters" | "executionConfigs"
> => ({
  name: target.metadata.name,
  gke: target.gke,
  requireApproval: target.requireApproval ?? false,
  ...some({
    description: target.description,
    labels: target.metadata.labels,
    deployParameters: target.deployParameters,
    executionConfigs: target.executionConfigs?.map((execution) => ({ ...execution, usages: [...execution.usages] }))
  })
})

const retryInput = (retry: Retry) => ({
  attempts: String(retry.attempts),
  ...some({
    wait: retry.wait === undefined ? undefined : waitSeconds(retry.wait),
    backoffMode: retry.backoffMode === undefined ? undefined : `BACKOFF_MODE_${retry.backoffMode}`
  })
})

const ruleInput = (rule: AutomationRule) => {
  const promote = rule.promoteReleaseRule
  const advance = rule.advanceRolloutRule
  const repair = rule.repairRolloutRule
  const wait = (value: string | undefined) => (value === undefined ? undefined : waitSeconds(value))
  return some({
    promoteReleaseRule:
      promote === undefined
        ? undefined
        : {
            id: promote.id,
            ...some({
              wait: wait(promote.wait),
              destinationTargetId: promote.destinationTargetId,
              destinationPhase: promote.destinationPhase
            })
          },
    advanceRolloutRule:
      advance === undefined
        ? undefined
        : { id: advance.id, ...some({ wait: wait(advance.wait), sourcePhases: list(advance.sourcePhases) }) },
    repairRolloutRule:
      repair === undefined
        ? undefined
        : {
            id: repair.id,
            ...some({ phases: list(repair.phases), jobs: list(repair.jobs) }),
            repairPhases: repair.repairPhases.map((phase) => ({
              ...(phase.retry === undefined ? {} : { retry: retryInput(phase.retry) }),
              ...(phase.rollback === undefined ? {} : { rollback: phase.rollback })
            }))
          }
  })
}

/** `agents/promote-dev` is the automation `promote-dev` of the pipeline `agents`. */
export const automationInput = (
  automation: Automation
): Pick<
  gcp.clouddeploy.AutomationArgs,
  "name" | "deliveryPipeline" | "description" | "labels" | "suspended" | "serviceAccount" | "selector" | "rules"
> => {
  const [deliveryPipeline, name] = automation.metadata.name.split("/") as [string, string]
  return {
    name,
    deliveryPipeline,
    serviceAccount: automation.serviceAccount,
    selector: { targets: automation.selector.targets.map((target) => ({ ...target })) },
    rules: automation.rules.map(ruleInput),
    ...some({
      description: automation.description,
      labels: automation.metadata.labels,
      suspended: automation.suspended
    })
  }
}

export const policyInput = (
  policy: DeployPolicy
): Pick<gcp.clouddeploy.DeployPolicyArgs, "name" | "description" | "labels" | "suspended" | "selectors" | "rules"> => ({
  name: policy.metadata.name,
  selectors: policy.selectors.map((selector) => ({ ...selector })),
  rules: policy.rules.map(({ rolloutRestriction }) => ({
    rolloutRestriction: {
      id: rolloutRestriction.id,
      ...some({ actions: list(rolloutRestriction.actions), invokers: list(rolloutRestriction.invokers) }),
      timeWindows: {
        timeZone: rolloutRestriction.timeWindows.timeZone,
        weeklyWindows: rolloutRestriction.timeWindows.weeklyWindows.map((window) => ({
          startTime: timeOfDay(window.startTime),
          endTime: timeOfDay(window.endTime),
          ...some({ daysOfWeeks: list(window.daysOfWeek) })
        }))
      }
    }
  })),
  ...some({ description: policy.description, labels: policy.metadata.labels, suspended: policy.suspended })
})
