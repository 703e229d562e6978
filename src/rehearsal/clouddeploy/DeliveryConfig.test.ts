import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { automationBody, policyBody } from "./ApiForm.ts"
import { readDelivery, strategyOf } from "./DeliveryConfig.ts"

const root = resolve(import.meta.dirname, "../../..")
const folders: Array<string> = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** The repository's own delivery files with one edit. The edit must hit, else the test would prove nothing. */
const withEdit = (file: string, find: string, replace: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "delivery-"))
  folders.push(folder)
  for (const path of ["clouddeploy", "k8s", "skaffold.yaml"]) {
    cpSync(join(root, path), join(folder, path), { recursive: true })
  }
  const text = readFileSync(join(folder, file), "utf8")
  expect(text).toContain(find)
  writeFileSync(join(folder, file), text.replace(find, replace))
  return folder
}

const complaint = (folder: string) =>
  Effect.map(Effect.flip(readDelivery(folder)), ({ problems }) =>
    problems.map(({ file, path, message, line }) => ({ file, path, message, line }))
  )

const PROMOTE = /promoteReleaseRule:[\s\S]*?destinationPhase: stable/.exec(
  readFileSync(join(root, "clouddeploy/automations.yaml"), "utf8")
)![0]

/** The promotion from `dev`, by a schedule instead. */
const timed = (change: object) => ({
  find: PROMOTE,
  replace: `timedPromoteReleaseRule: ${JSON.stringify({
    id: "monday",
    schedule: "0 9 * * 1",
    timeZone: "Europe/Berlin",
    destinationTargetId: "staging",
    destinationPhase: "stable",
    ...change
  })}`
})

const WINDOWS = /timeZone: Etc\/UTC\n[\s\S]*?endTime: "24:00"/.exec(
  readFileSync(join(root, "clouddeploy/policies.yaml"), "utf8")
)![0]

/** The first policy's windows, once and over the holidays instead. */
const holidays = (change: object) => ({
  find: WINDOWS,
  replace: `timeZone: Etc/UTC\n        oneTimeWindows: ${JSON.stringify([{ start: "2026-12-24 17:00", end: "2026-12-27 09:00", ...change }])}`
})

const mistakes: ReadonlyArray<{
  readonly name: string
  readonly file: string
  readonly find: string
  readonly replace: string
  readonly path: string
  readonly says: string | RegExp
}> = [
  {
    name: "an unknown key, with the key that was meant",
    file: "clouddeploy/pipeline.yaml",
    find: "verify: true",
    replace: "verfy: true",
    path: "serialPipeline.stages[0].strategy.standard.verfy",
    says: 'Did you mean "verify"?'
  },
  {
    name: "a typing mistake inside an automation's rule, which gcloud sends as an empty rule",
    file: "clouddeploy/automations.yaml",
    find: "promoteReleaseRule:",
    replace: "promoteReleaseRulez:",
    path: "rules[0].promoteReleaseRulez",
    says: 'Did you mean "promoteReleaseRule"?'
  },
  {
    name: "a wait that is not in whole minutes",
    file: "clouddeploy/automations.yaml",
    find: "wait: 30m",
    replace: "wait: 90s",
    path: "rules[0].advanceRolloutRule.wait",
    says: "whole minutes"
  },
  {
    name: "a word that YAML 1.1 reads as true",
    file: "clouddeploy/pipeline.yaml",
    find: "verify: true",
    replace: "verify: yes",
    path: "",
    says: "YAML 1.1"
  },
  {
    name: "a time of day that YAML 1.1 reads as a number",
    file: "clouddeploy/policies.yaml",
    find: 'startTime: "00:00"',
    replace: "startTime: 17:00",
    path: "",
    says: 'Write it as "17:00"'
  },
  {
    name: "a deploy parameter that is no string",
    file: "clouddeploy/targets.yaml",
    find: 'KILL_GRACE_SECONDS: "60"',
    replace: "KILL_GRACE_SECONDS: 60",
    path: "deployParameters.KILL_GRACE_SECONDS",
    says: "Expected string"
  },
  {
    name: "a feature of Cloud Deploy that could not be carried out here",
    file: "clouddeploy/pipeline.yaml",
    find: "actions: [gate-workflows, migrate]",
    replace: "tasks: [{type: container, image: agents}]",
    path: "serialPipeline.stages[0].strategy.standard.predeploy.tasks",
    says: "Run hooks as Skaffold customActions"
  },
  {
    name: "a kind that does not belong here",
    file: "clouddeploy/targets.yaml",
    find: "kind: Target",
    replace: "kind: Targt",
    path: "kind",
    says: "Did you mean Target?"
  },
  {
    name: "a resource that is there twice, with the place of the first",
    file: "clouddeploy/targets.yaml",
    find: "name: staging",
    replace: "name: dev",
    path: "metadata.name",
    says: /stands already in clouddeploy\/targets\.yaml:\d+/
  },
  {
    name: "a stage whose target does not exist",
    file: "clouddeploy/pipeline.yaml",
    find: "targetId: staging",
    replace: "targetId: stagin",
    path: "serialPipeline.stages[1].targetId",
    says: 'Did you mean "staging"?'
  },
  {
    name: "a profile that skaffold.yaml lacks",
    file: "clouddeploy/pipeline.yaml",
    find: "profiles: [prod-one]",
    replace: "profiles: [prod-on]",
    path: "serialPipeline.stages[2].strategy.canary.customCanaryDeployment.phaseConfigs[0].profiles[0]",
    says: 'Did you mean "prod-one"?'
  },
  {
    name: "two profiles in one step, of which only the last would count",
    file: "clouddeploy/pipeline.yaml",
    find: "profiles: [dev]",
    replace: "profiles: [staging, dev]",
    path: "serialPipeline.stages[0].strategy.standard",
    says: "exactly one profile"
  },
  {
    name: "an action that skaffold.yaml lacks",
    file: "clouddeploy/pipeline.yaml",
    find: "actions: [gate-workflows, migrate]",
    replace: "actions: [gate-workflow, migrate]",
    path: "serialPipeline.stages[0].strategy.standard.predeploy.actions[0]",
    says: 'Did you mean "gate-workflows"?'
  },
  {
    name: "a canary whose last phase is not stable",
    file: "clouddeploy/pipeline.yaml",
    find: "phaseId: stable",
    replace: "phaseId: everyone",
    path: "serialPipeline.stages[2].strategy.canary.customCanaryDeployment.phaseConfigs[1].phaseId",
    says: 'must be "stable"'
  },
  {
    name: "an automation that waits for a phase nobody has",
    file: "clouddeploy/automations.yaml",
    find: "sourcePhases: [one-replica]",
    replace: "sourcePhases: [one-replicas]",
    path: "rules[0].advanceRolloutRule.sourcePhases[0]",
    says: 'Did you mean "one-replica"?'
  },
  {
    name: "a policy for a pipeline that does not exist",
    file: "clouddeploy/policies.yaml",
    find: "id: agents",
    replace: "id: agent",
    path: "selectors[0].deliveryPipeline.id",
    says: "forbids nothing"
  },
  {
    name: "a time zone that nobody lives in, whose windows would never come",
    file: "clouddeploy/policies.yaml",
    find: "timeZone: Etc/UTC",
    replace: "timeZone: Etc/UTX",
    path: "rules[0].rolloutRestriction.timeWindows.timeZone",
    says: '"Etc/UTX" is no time zone'
  },
  {
    name: "a one-time window on a day that does not exist",
    file: "clouddeploy/policies.yaml",
    ...holidays({ end: "2026-02-30 09:00" }),
    path: "rules[0].rolloutRestriction.timeWindows.oneTimeWindows[0].end",
    says: "must be a quoted day and time"
  },
  {
    name: "a one-time window that ends before it begins",
    file: "clouddeploy/policies.yaml",
    ...holidays({ end: "2026-12-01 09:00" }),
    path: "rules[0].rolloutRestriction.timeWindows.oneTimeWindows[0]",
    says: "end must lie behind its start"
  },
  {
    name: "a restriction without a window",
    file: "clouddeploy/policies.yaml",
    find: holidays({}).find,
    replace: "timeZone: Etc/UTC",
    path: "rules[0].rolloutRestriction.timeWindows",
    says: "needs weeklyWindows or oneTimeWindows"
  },
  {
    name: "a promotion by a schedule that is none",
    file: "clouddeploy/automations.yaml",
    ...timed({ schedule: "0 25 * * 1" }),
    path: "rules[0].timedPromoteReleaseRule",
    says: "no schedule of cron"
  },
  {
    name: "a promotion by the clock of an unknown time zone",
    file: "clouddeploy/automations.yaml",
    ...timed({ timeZone: "Europe/Berlim" }),
    path: "rules[0].timedPromoteReleaseRule",
    says: '"Europe/Berlim" is no time zone'
  },
  {
    name: "a promotion by the clock to a target that is no stage",
    file: "clouddeploy/automations.yaml",
    ...timed({ destinationTargetId: "stagin" }),
    path: "rules[0].timedPromoteReleaseRule.destinationTargetId",
    says: 'Did you mean "staging"?'
  },
  {
    name: "a target without the usage RENDER",
    file: "clouddeploy/targets.yaml",
    find: "[RENDER, PREDEPLOY,",
    replace: "[PREDEPLOY,",
    path: "executionConfigs",
    says: "RENDER"
  },
  {
    name: "a hook whose Job manifest is missing, which Skaffold would find in the middle of a rollout",
    file: "skaffold.yaml",
    find: "k8s/jobs/migrate.yaml",
    replace: "k8s/jobs/migration.yaml",
    path: "customActions[1].executionMode.kubernetesCluster.jobManifestPath",
    says: "does not exist"
  },
  {
    name: "a hook whose Job manifest has no container of its name",
    file: "skaffold.yaml",
    find: "k8s/jobs/migrate.yaml",
    replace: "k8s/jobs/record.yaml",
    path: "customActions[1].executionMode.kubernetesCluster.jobManifestPath",
    says: 'no container named "migrate"'
  },
  {
    name: "an image that is no artifact, and would keep its bare name",
    file: "skaffold.yaml",
    find: "      image: agents-smoke\n      command",
    replace: "      image: agent-smoke\n      command",
    path: "verify[0].container.image",
    says: "no artifact"
  },
  {
    name: "resourceSelector.deny, which silently stops image substitution",
    file: "skaffold.yaml",
    find: "  allow:",
    replace: "  deny:",
    path: "resourceSelector.deny",
    says: "leaves images unsubstituted"
  }
]

describe("reading the delivery files", () => {
  it.effect("reads the repository's own", () =>
    Effect.gen(function* () {
      const delivery = yield* readDelivery(root)
      const stages = delivery.pipelines[0]!.serialPipeline.stages.map(strategyOf)
      expect(stages.map(({ targetId, phases }) => [targetId, ...phases.map(({ phaseId }) => phaseId)])).toEqual([
        ["dev", "stable"],
        ["staging", "stable"],
        ["prod", "one-replica", "stable"]
      ])
      for (const { phases } of stages) {
        for (const phase of phases) {
          expect(phase).toMatchObject({
            predeploy: ["gate-workflows", "migrate"],
            verify: true,
            postdeploy: ["record"]
          })
        }
      }
    })
  )

  it.effect("takes a promotion by the clock, and hands it on as it is", () =>
    Effect.gen(function* () {
      const { find, replace } = timed({})
      const { automations } = yield* readDelivery(withEdit("clouddeploy/automations.yaml", find, replace))
      expect(automations.flatMap((automation) => automationBody(automation).rules)).toContainEqual({
        timedPromoteReleaseRule: {
          id: "monday",
          schedule: "0 9 * * 1",
          timeZone: "Europe/Berlin",
          destinationTargetId: "staging",
          destinationPhase: "stable"
        }
      })
    })
  )

  it.effect("takes a one-time window, and hands it on in days and times", () =>
    Effect.gen(function* () {
      const { find, replace } = holidays({})
      const { policies } = yield* readDelivery(withEdit("clouddeploy/policies.yaml", find, replace))
      expect(policyBody(policies[0]!).rules[0]!.rolloutRestriction.timeWindows).toEqual({
        timeZone: "Etc/UTC",
        oneTimeWindows: [
          {
            startDate: { year: 2026, month: 12, day: 24 },
            startTime: { hours: 17, minutes: 0 },
            endDate: { year: 2026, month: 12, day: 27 },
            endTime: { hours: 9, minutes: 0 }
          }
        ]
      })
    })
  )

  for (const mistake of mistakes) {
    it.effect(`refuses ${mistake.name}`, () =>
      Effect.gen(function* () {
        const problems = yield* complaint(withEdit(mistake.file, mistake.find, mistake.replace))
        const found = problems.find(({ path }) => path === mistake.path)
        expect(problems.map(({ path }) => path)).toContain(mistake.path)
        expect(found!.file).toBe(mistake.file)
        expect(found!.message).toMatch(mistake.says)
      })
    )
  }

  it.effect("names the line of the mistake", () =>
    Effect.gen(function* () {
      const folder = withEdit("clouddeploy/pipeline.yaml", "verify: true", "verfy: true")
      const lines = readFileSync(join(folder, "clouddeploy/pipeline.yaml"), "utf8").split("\n")
      const [problem] = yield* complaint(folder)
      expect(lines[problem!.line - 1]).toContain("verfy")
    })
  )

  it.effect("reports every mistake of all files at once", () =>
    Effect.gen(function* () {
      const folder = withEdit("clouddeploy/pipeline.yaml", "verify: true", "verfy: true")
      const targets = join(folder, "clouddeploy/targets.yaml")
      writeFileSync(targets, readFileSync(targets, "utf8").replace("requireApproval", "requireAproval"))
      const problems = yield* complaint(folder)
      expect(problems.map(({ file }) => file)).toEqual(["clouddeploy/pipeline.yaml", "clouddeploy/targets.yaml"])
    })
  )
})
