/** Changes of the delivery files, as the rehearsal and `deliver gate manifests` read them before anything is delivered. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { readDelivery } from "../../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { type Entry, saidBy } from "./Entry.ts"

const root = join(import.meta.dirname, "../..")

const entry = (title: string, expect: string | null, file: string, find: string, replace: string): Entry => ({
  gate: "delivery",
  title,
  expect,
  judge: Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "hazard-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ).pipe(
    Effect.flatMap((folder) => {
      for (const path of ["clouddeploy", "k8s", "skaffold.yaml"]) {
        cpSync(join(root, path), join(folder, path), { recursive: true })
      }
      const text = readFileSync(join(folder, file), "utf8")
      if (!text.includes(find)) throw new Error(`${JSON.stringify(find)} is not in ${file}`)
      writeFileSync(join(folder, file), text.replace(find, replace))
      return readDelivery(folder)
    }),
    Effect.match({
      onSuccess: () => saidBy("passed", []),
      onFailure: ({ problems }) =>
        saidBy(
          "refused",
          problems.map(({ message, file, path }) => ({
            rule: "delivery-file",
            severity: "hazard",
            what: message,
            where: `${file} ${path}`
          }))
        )
    })
  )
})

const pipeline = "clouddeploy/pipeline.yaml"
const automations = "clouddeploy/automations.yaml"
const targets = "clouddeploy/targets.yaml"

export const deliveryEntries: ReadonlyArray<Entry> = [
  entry(
    "a hook's name is mistyped",
    'Did you mean "gate-workflows"?',
    pipeline,
    "actions: [gate-workflows, migrate]",
    "actions: [gate-workflow, migrate]"
  ),
  entry(
    "a stage is delivered to a target nobody made",
    'Did you mean "staging"?',
    pipeline,
    "targetId: staging",
    "targetId: stagin"
  ),
  entry(
    "verify is mistyped, so nothing would be verified",
    'Did you mean "verify"?',
    pipeline,
    "verify: true",
    "verfy: true"
  ),
  entry("verify is a word of YAML 1.1", "YAML 1.1", pipeline, "verify: true", "verify: yes"),
  entry(
    "the last phase has another name, so no rollback would find it",
    'must be "stable"',
    pipeline,
    "phaseId: stable",
    "phaseId: everyone"
  ),
  entry(
    "a phase uses a profile that does not exist",
    'Did you mean "prod-one"?',
    pipeline,
    "profiles: [prod-one]",
    "profiles: [prod-on]"
  ),
  entry(
    "two profiles stand where only the last counts",
    "exactly one profile",
    pipeline,
    "profiles: [dev]",
    "profiles: [staging, dev]"
  ),
  entry(
    "an automation waits for a phase that nobody has",
    'Did you mean "one-replica"?',
    automations,
    "sourcePhases: [one-replica]",
    "sourcePhases: [one-replicas]"
  ),
  entry("an automation waits for half a minute", "whole minutes", automations, "wait: 30m", "wait: 30s"),
  entry(
    "an automation's rule is mistyped, and gcloud would send none",
    'Did you mean "promoteReleaseRule"?',
    automations,
    "promoteReleaseRule:",
    "promoteReleaseRules:"
  ),
  entry(
    "a deploy parameter is a number",
    "Expected string",
    targets,
    'KILL_GRACE_SECONDS: "60"',
    "KILL_GRACE_SECONDS: 60"
  ),
  entry("a target may not render", "RENDER", targets, "[RENDER, PREDEPLOY,", "[PREDEPLOY,"),
  entry("a policy forbids nothing", "forbids nothing", "clouddeploy/policies.yaml", "id: agents", "id: agent"),
  entry(
    "a hook's Job manifest is gone",
    "does not exist",
    "skaffold.yaml",
    "k8s/jobs/migrate.yaml",
    "k8s/jobs/migration.yaml"
  ),
  entry(
    "a hook runs another hook's Job",
    'no container named "migrate"',
    "skaffold.yaml",
    "k8s/jobs/migrate.yaml",
    "k8s/jobs/record.yaml"
  ),
  entry("nothing changes", null, pipeline, "verify: true", "verify: true"),
  entry("an automation waits longer", null, automations, "wait: 30m", "wait: 45m"),
  entry("a comment is added", null, targets, "kind: Target", "kind: Target # one of three"),
  entry("a runner gets longer to be found dead", null, targets, 'KILL_GRACE_SECONDS: "60"', 'KILL_GRACE_SECONDS: "90"')
]
