/**
 * From the YAML that people write (and `gcloud deploy apply` reads) to the bodies that Cloud Deploy's API takes. Pure.
 *
 * The two forms differ in small ways that neither side explains: `wait: 5m` is "300s" in the API, `LINEAR` is
 * `BACKOFF_MODE_LINEAR`, a time of day is an object, `attempts` is a string. A push sends these bodies to the rehearsal, and
 * `infra/` makes Pulumi's inputs of them: both read the files by the same code.
 */
import type {
  Automation,
  AutomationRule,
  DeliveryPipeline,
  DeployPolicy,
  Retry,
  RolloutRestriction,
  Stage,
  Target
} from "./Resources.ts"

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

/** `2026-12-24 17:00` in the API's two parts. */
const moment = (text: string) => {
  const [year = 0, month = 0, day = 0] = text.slice(0, 10).split("-").map(Number)
  return { date: { year, month, day }, time: timeOfDay(text.slice(11)) }
}

/** Leaves out what is undefined: an optional field that is present and undefined is not the same to Pulumi's types. */
const some = <A extends object>(value: A): { [K in keyof A]: Exclude<A[K], undefined> } =>
  Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof A]: Exclude<A[K], undefined>
  }

const list = <A>(values: ReadonlyArray<A> | undefined): Array<A> | undefined =>
  values === undefined ? undefined : [...values]

/** What every resource says of itself. */
const common = (resource: {
  readonly metadata: {
    readonly labels?: Readonly<Record<string, string>> | undefined
    readonly annotations?: Readonly<Record<string, string>> | undefined
  }
  readonly description?: string | undefined
  readonly suspended?: boolean | undefined
}) =>
  some({
    description: resource.description,
    labels: resource.metadata.labels,
    annotations: resource.metadata.annotations,
    suspended: resource.suspended
  })

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

const strategyBody = (strategy: NonNullable<Stage["strategy"]>) => ({
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

export const pipelineBody = (pipeline: DeliveryPipeline) => ({
  ...common(pipeline),
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
      ...(stage.strategy === undefined ? {} : { strategy: strategyBody(stage.strategy) })
    }))
  }
})

export const targetBody = (target: Target) => ({
  ...common(target),
  gke: target.gke,
  ...some({
    requireApproval: target.requireApproval,
    deployParameters: target.deployParameters,
    executionConfigs: target.executionConfigs?.map((execution) => ({ ...execution, usages: [...execution.usages] }))
  })
})

const retryBody = (retry: Retry) => ({
  attempts: String(retry.attempts),
  ...some({
    wait: retry.wait === undefined ? undefined : waitSeconds(retry.wait),
    backoffMode: retry.backoffMode === undefined ? undefined : `BACKOFF_MODE_${retry.backoffMode}`
  })
})

const ruleBody = (rule: AutomationRule) => {
  const promote = rule.promoteReleaseRule
  const advance = rule.advanceRolloutRule
  const repair = rule.repairRolloutRule
  const timed = rule.timedPromoteReleaseRule
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
              ...(phase.retry === undefined ? {} : { retry: retryBody(phase.retry) }),
              ...(phase.rollback === undefined ? {} : { rollback: phase.rollback })
            }))
          },
    timedPromoteReleaseRule: timed === undefined ? undefined : some(timed)
  })
}

export const automationBody = (automation: Automation) => ({
  ...common(automation),
  serviceAccount: automation.serviceAccount,
  selector: { targets: automation.selector.targets.map((target) => ({ ...target })) },
  rules: automation.rules.map(ruleBody)
})

/** `agents/promote-dev` is the automation `promote-dev` of the pipeline `agents`. */
export const automationName = (automation: Automation): { readonly pipeline: string; readonly name: string } => {
  const [pipeline, name] = automation.metadata.name.split("/") as [string, string]
  return { pipeline, name }
}

const windowBody = (window: NonNullable<RolloutRestriction["timeWindows"]["weeklyWindows"]>[number]) => ({
  startTime: timeOfDay(window.startTime),
  endTime: timeOfDay(window.endTime),
  ...some({ daysOfWeek: list(window.daysOfWeek) })
})

export const policyBody = (policy: DeployPolicy) => ({
  ...common(policy),
  selectors: policy.selectors.map((selector) => ({ ...selector })),
  rules: policy.rules.map(({ rolloutRestriction }) => ({
    rolloutRestriction: {
      id: rolloutRestriction.id,
      ...some({ actions: list(rolloutRestriction.actions), invokers: list(rolloutRestriction.invokers) }),
      timeWindows: some({
        timeZone: rolloutRestriction.timeWindows.timeZone,
        weeklyWindows: rolloutRestriction.timeWindows.weeklyWindows?.map(windowBody),
        oneTimeWindows: rolloutRestriction.timeWindows.oneTimeWindows?.map(({ start, end }) => {
          const [from, to] = [moment(start), moment(end)]
          return { startDate: from.date, startTime: from.time, endDate: to.date, endTime: to.time }
        })
      })
    }
  }))
})

export interface Written {
  readonly kind: "DeliveryPipeline" | "Target" | "Automation" | "DeployPolicy"
  /** As its file calls it. */
  readonly name: string
  /** Below `projects/P/locations/L`. */
  readonly path: string
  readonly body: object
}

/** All of them in the order in which gcloud applies them: an automation needs its pipeline. */
export const written = (config: {
  readonly pipelines: ReadonlyArray<DeliveryPipeline>
  readonly targets: ReadonlyArray<Target>
  readonly automations: ReadonlyArray<Automation>
  readonly policies: ReadonlyArray<DeployPolicy>
}): ReadonlyArray<Written> => {
  const named = <A extends { readonly kind: Written["kind"]; readonly metadata: { readonly name: string } }>(
    resources: ReadonlyArray<A>,
    pathOf: (resource: A) => string,
    bodyOf: (resource: A) => object
  ): ReadonlyArray<Written> =>
    resources.map((one) => ({ kind: one.kind, name: one.metadata.name, path: pathOf(one), body: bodyOf(one) }))
  return [
    ...named(config.pipelines, ({ metadata }) => `deliveryPipelines/${metadata.name}`, pipelineBody),
    ...named(config.targets, ({ metadata }) => `targets/${metadata.name}`, targetBody),
    ...named(
      config.automations,
      (one) => `deliveryPipelines/${automationName(one).pipeline}/automations/${automationName(one).name}`,
      automationBody
    ),
    ...named(config.policies, ({ metadata }) => `deployPolicies/${metadata.name}`, policyBody)
  ]
}
