import { beforeAll, describe, expect, it } from "vitest"
import type { KubeObject } from "../src/gates/manifests/Workload.ts"
import { disagreements } from "./testing/disagreements.ts"
import { type Facts, gather } from "./testing/facts.ts"

let facts: Facts
beforeAll(async () => {
  facts = await gather()
})

/** The facts with every occurrence of a text in one part replaced: one name changed in one place. */
const rename = (part: keyof Facts, from: string, to: string): Facts => {
  const text = JSON.stringify(facts[part])
  expect(text, `${String(part)} names ${from}`).toContain(from)
  return { ...facts, [part]: JSON.parse(text.replaceAll(from, to)) }
}

/** Per place that holds names: one name changed there, and what the test must then say. */
const renamed: ReadonlyArray<readonly [keyof Facts, string, string, RegExp]> = [
  ["delivery", "effect-agents-example-prod", "another-project-prod", /cluster of target prod/],
  ["delivery", "us-central1", "europe-west1", /cluster of target dev/],
  ["delivery", "agents-deployer-staging", "agents-deploy-staging", /accounts that targets run as/],
  ["delivery", "agents-automation@", "agents-robot@", /accounts that automations run as/],
  ["delivery", '"prod-one"', '"prod-first"', /overlays and profiles/],
  ["delivery", '"agents-smoke"', '"smoke-agents"', /artifacts of skaffold\.yaml/],
  ["overlays", '"image":"agents"', '"image":"agent"', /images of manifests/],
  ["overlays", '"namespace":"agents"', '"namespace":"agent"', /is in namespace agent/],
  ["overlays", "agent-database-runtime", "agent-database-runner", /secrets that manifests mount/],
  ["overlays", '"name":"agent-platform"', '"name":"platform"', /ConfigMap of/],
  ["overlays", '"serviceAccountName":"agent-runtime"', '"serviceAccountName":"runtime"', /account of StatefulSet/],
  ["jobs", "agent-database-migrator", "agent-database-migration", /secrets that manifests mount/],
  ["jobs", '"serviceAccountName":"agent-gate"', '"serviceAccountName":"gate"', /account of Job\/gate-workflows/],
  ["platform", '"name":"agent-smoke"', '"name":"smoke"', /accounts of k8s\/platform/],
  ["captured", "[agents/agent-runtime]", "[default/agent-runtime]", /who may act as a Google account/],
  ["captured", '"name":"effect_cluster"', '"name":"effect"', /database in/],
  ["captured", '"name":"reader"', '"name":"readonly"', /logins in/],
  ["cloudbuild", "us-central1-docker.pkg.dev", "us-docker.pkg.dev", /cloudbuild\.yaml does not name/]
]

describe("names in manifests, delivery files and infrastructure", () => {
  it("agree", () => {
    expect(disagreements(facts)).toEqual([])
  })

  it("compare something: no side of the comparison is empty", () => {
    expect(Object.keys(facts.overlays)).toHaveLength(4)
    expect(Object.keys(facts.jobs).length).toBeGreaterThanOrEqual(4)
    for (const captured of Object.values(facts.captured)) expect(captured.length).toBeGreaterThan(40)
    const objects: ReadonlyArray<KubeObject> = Object.values(facts.overlays).flat()
    expect(objects.map(({ kind }) => kind)).toContain("StatefulSet")
  })

  for (const [part, from, to, says] of renamed) {
    it(`no longer agree when ${part} says ${to} instead of ${from}`, () => {
      expect(disagreements(rename(part, from, to)).join("\n")).toMatch(says)
    })
  }
})
