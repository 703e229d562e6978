/** Pure checks of what the delivery files say about one another. Cloud Deploy finds most of these only at the next release. */
import { nearest } from "../../domain/Nearest.ts"
import type { DeliveryConfig } from "./DeliveryConfig.ts"
import type { DeliveryPipeline, Stage } from "./Resources.ts"
import type { SkaffoldConfig } from "./Skaffold.ts"
import type { Path, Problem } from "./YamlFile.ts"

const unknown = (what: string, name: string, known: ReadonlyArray<string>): string => {
  const hint = nearest(name, known)
  return `there is no ${what} "${name}".${hint === undefined ? ` Known: ${known.join(", ") || "none"}.` : ` Did you mean "${hint}"?`}`
}

const phasesOf = (stage: Stage): ReadonlyArray<string> =>
  stage.strategy?.canary?.customCanaryDeployment.phaseConfigs.map(({ phaseId }) => phaseId) ?? ["stable"]

const checkCanary = (stage: Stage, at: Path, complain: (path: Path, message: string) => void): void => {
  const phases = stage.strategy?.canary?.customCanaryDeployment.phaseConfigs
  if (phases === undefined) return
  const path = [...at, "strategy", "canary", "customCanaryDeployment", "phaseConfigs"]
  const last = phases.length - 1
  if (phases[last]!.phaseId !== "stable") {
    complain(
      [...path, last, "phaseId"],
      `the last phase must be "stable", not "${phases[last]!.phaseId}": Cloud Deploy ends rollouts and starts rollbacks there`
    )
  }
  if (phases[last]!.percentage !== 100) complain([...path, last, "percentage"], "the last phase must reach 100")
  for (const [i, phase] of phases.entries()) {
    if (i > 0 && phase.percentage <= phases[i - 1]!.percentage) {
      complain([...path, i, "percentage"], "percentages must rise from phase to phase")
    }
    if (phases.findIndex(({ phaseId }) => phaseId === phase.phaseId) < i) {
      complain([...path, i, "phaseId"], `phase "${phase.phaseId}" is there twice`)
    }
  }
}

const checkPipelines = (config: DeliveryConfig): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const targets = config.targets.map(({ metadata }) => metadata.name)
  for (const pipeline of config.pipelines) {
    const complain = (path: Path, message: string) =>
      void problems.push(config.complain("DeliveryPipeline", pipeline.metadata.name, path, message))
    const { stages } = pipeline.serialPipeline
    for (const [i, stage] of stages.entries()) {
      const at = ["serialPipeline", "stages", i]
      if (!targets.includes(stage.targetId)) complain([...at, "targetId"], unknown("target", stage.targetId, targets))
      if (stages.findIndex(({ targetId }) => targetId === stage.targetId) < i) {
        complain([...at, "targetId"], `target "${stage.targetId}" has a stage already`)
      }
      checkCanary(stage, at, complain)
    }
  }
  return problems
}

const checkTargets = (config: DeliveryConfig): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  for (const target of config.targets) {
    const complain = (path: Path, message: string) =>
      void problems.push(config.complain("Target", target.metadata.name, path, message))
    if (target.executionConfigs === undefined) continue
    const usages = target.executionConfigs.flatMap((execution, i) =>
      execution.usages.map((usage, j) => ({ usage, at: ["executionConfigs", i, "usages", j] }))
    )
    for (const [i, { usage, at }] of usages.entries()) {
      if (usages.findIndex((other) => other.usage === usage) < i) complain(at, `${usage} is there twice`)
    }
    for (const usage of ["RENDER", "DEPLOY"]) {
      if (!usages.some((other) => other.usage === usage)) {
        complain(["executionConfigs"], `no executionConfig has the usage ${usage}, and Cloud Deploy asks for it`)
      }
    }
  }
  return problems
}

const stageOf = (pipeline: DeliveryPipeline, targetId: string) =>
  pipeline.serialPipeline.stages.find((stage) => stage.targetId === targetId)

const checkAutomations = (config: DeliveryConfig): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const pipelines = config.pipelines.map(({ metadata }) => metadata.name)
  for (const automation of config.automations) {
    const complain = (path: Path, message: string) =>
      void problems.push(config.complain("Automation", automation.metadata.name, path, message))
    const name = automation.metadata.name.split("/")[0]!
    const pipeline = config.pipelines.find(({ metadata }) => metadata.name === name)
    if (pipeline === undefined) {
      complain(["metadata", "name"], unknown("pipeline", name, pipelines))
      continue
    }
    const staged = pipeline.serialPipeline.stages.map(({ targetId }) => targetId)
    const phases = new Set<string>()
    for (const [i, { id }] of automation.selector.targets.entries()) {
      if (id === undefined) continue
      if (id !== "*" && !staged.includes(id)) complain(["selector", "targets", i, "id"], unknown("stage", id, staged))
      for (const targetId of id === "*" ? staged : [id]) {
        const stage = stageOf(pipeline, targetId)
        if (stage !== undefined) for (const phase of phasesOf(stage)) phases.add(phase)
      }
    }
    for (const [i, rule] of automation.rules.entries()) {
      for (const key of ["promoteReleaseRule", "timedPromoteReleaseRule"] as const) {
        const destination = rule[key]?.destinationTargetId
        if (destination !== undefined && destination !== "@next" && !staged.includes(destination)) {
          complain(["rules", i, key, "destinationTargetId"], unknown("stage", destination, staged))
        }
      }
      const named = [
        ["advanceRolloutRule", "sourcePhases", rule.advanceRolloutRule?.sourcePhases] as const,
        ["repairRolloutRule", "phases", rule.repairRolloutRule?.phases] as const
      ]
      for (const [key, field, list] of named) {
        for (const [j, phase] of (list ?? []).entries()) {
          if (phases.size > 0 && !phases.has(phase)) {
            complain(["rules", i, key, field, j], unknown("phase of these targets", phase, [...phases]))
          }
        }
      }
    }
  }
  return problems
}

const checkPolicies = (config: DeliveryConfig): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const pipelines = config.pipelines.map(({ metadata }) => metadata.name)
  const targets = config.targets.map(({ metadata }) => metadata.name)
  for (const policy of config.policies) {
    for (const [i, selector] of policy.selectors.entries()) {
      const named = [
        ["deliveryPipeline", "pipeline", selector.deliveryPipeline?.id, pipelines] as const,
        ["target", "target", selector.target?.id, targets] as const
      ]
      for (const [key, what, id, known] of named) {
        if (id !== undefined && id !== "*" && !known.includes(id)) {
          problems.push(
            config.complain(
              "DeployPolicy",
              policy.metadata.name,
              ["selectors", i, key, "id"],
              `${unknown(what, id, known)} A policy for something that does not exist forbids nothing.`
            )
          )
        }
      }
    }
  }
  return problems
}

/** What the resources say of each other. */
export const amongThemselves = (config: DeliveryConfig): ReadonlyArray<Problem> => [
  ...checkPipelines(config),
  ...checkTargets(config),
  ...checkAutomations(config),
  ...checkPolicies(config)
]

/** What the pipeline asks of `skaffold.yaml`: profiles, actions, verify tests. */
export const againstSkaffold = (config: DeliveryConfig, skaffold: SkaffoldConfig): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const profiles = skaffold.profiles.map(({ name }) => name)
  const actions = skaffold.customActions.map(({ name }) => name)
  for (const pipeline of config.pipelines) {
    const complain = (path: Path, message: string) =>
      void problems.push(config.complain("DeliveryPipeline", pipeline.metadata.name, path, message))
    for (const [i, stage] of pipeline.serialPipeline.stages.entries()) {
      const at: Path = ["serialPipeline", "stages", i]
      const canary = stage.strategy?.canary?.customCanaryDeployment.phaseConfigs
      const fences: ReadonlyArray<readonly [Path, NonNullable<typeof canary>[number] | undefined]> =
        canary === undefined
          ? [
              [
                [...at, "strategy", "standard"],
                stage.strategy?.standard === undefined
                  ? undefined
                  : { phaseId: "stable", percentage: 100, ...stage.strategy.standard }
              ]
            ]
          : canary.map((phase, j) => [
              [...at, "strategy", "canary", "customCanaryDeployment", "phaseConfigs", j],
              phase
            ])
      for (const [j, profile] of (stage.profiles ?? []).entries()) {
        if (!profiles.includes(profile))
          complain([...at, "profiles", j], unknown("Skaffold profile", profile, profiles))
      }
      for (const [path, fence] of fences) {
        const own = fence?.profiles ?? []
        for (const [j, profile] of own.entries()) {
          if (!profiles.includes(profile))
            complain([...path, "profiles", j], unknown("Skaffold profile", profile, profiles))
        }
        if ((stage.profiles ?? []).length + own.length !== 1) {
          complain(
            path,
            `needs exactly one profile, in the stage or in the phase. With none nothing is rendered; with several the last one's manifests win.`
          )
        }
        for (const hook of ["predeploy", "postdeploy"] as const) {
          for (const [j, action] of (fence?.[hook]?.actions ?? []).entries()) {
            if (!actions.includes(action)) {
              complain([...path, hook, "actions", j], unknown("custom action in skaffold.yaml", action, actions))
            }
          }
        }
        if (fence?.verify === true && skaffold.verify.length === 0) {
          complain([...path, "verify"], "skaffold.yaml has no verify test, so nothing would be verified")
        }
      }
    }
  }
  return problems
}
