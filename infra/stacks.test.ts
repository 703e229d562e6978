import { beforeAll, describe, expect, it } from "vitest"
import type { KubeObject } from "../src/gates/manifests/Workload.ts"
import { databaseRoles, databaseSecret, environments } from "./names.ts"
import type { Captured, CapturedStack } from "./testing/capture.ts"
import { disagreements } from "./testing/disagreements.ts"
import { type Facts, gather } from "./testing/facts.ts"

// One file for all that looks at what the stacks would make: making it is what takes the time.
let facts: Facts
let stacks: ReadonlyArray<CapturedStack>
let all: ReadonlyArray<Captured>
let prod: ReadonlyArray<Captured>
beforeAll(async () => {
  facts = await gather()
  stacks = facts.stacks
  all = stacks.flatMap(({ resources }) => resources)
  prod = facts.captured["prod"]!
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

const ofType = (captured: ReadonlyArray<Captured>, type: string) => captured.filter((one) => one.type === type)
const only = (captured: ReadonlyArray<Captured>, type: string) => {
  const found = ofType(captured, type)
  expect(found, type).toHaveLength(1)
  return found[0]!.inputs
}

describe("the platform of one environment", () => {
  it("keeps the database private, encrypted, highly available and recoverable", () => {
    const [primary, replica] = ofType(prod, "gcp:sql/databaseInstance:DatabaseInstance")
    expect(replica!.inputs).toMatchObject({ masterInstanceName: "agents", region: "us-east1" })
    expect(primary!.inputs).toMatchObject({
      databaseVersion: "POSTGRES_16",
      deletionProtection: true,
      settings: {
        tier: "db-custom-2-7680",
        availabilityType: "REGIONAL",
        backupConfiguration: { enabled: true, pointInTimeRecoveryEnabled: true },
        ipConfiguration: {
          ipv4Enabled: false,
          sslMode: "ENCRYPTED_ONLY",
          privateNetwork: "projects/effect-agents-example-prod/global/agents"
        }
      }
    })
  })

  it("gives neither nodes nor the control plane a public address, and keeps the cluster from being deleted", () => {
    expect(only(prod, "gcp:container/cluster:Cluster")).toMatchObject({
      enableAutopilot: true,
      deletionProtection: true,
      privateClusterConfig: { enablePrivateNodes: true },
      controlPlaneEndpointsConfig: { ipEndpointsConfig: { enabled: false } }
    })
  })

  it("gives nobody a basic role, and no account a right over a whole project beyond its duty", () => {
    const roles = all.filter(({ type }) => /IAMMember|IamMember/.test(type)).map(({ inputs }) => String(inputs["role"]))
    expect(roles.length).toBeGreaterThan(20)
    expect(roles.filter((role) => /^roles\/(owner|editor|viewer|container\.(admin|developer))$/.test(role))).toEqual([])
  })

  it("lets the deployer change workloads, and neither read Secrets nor touch identities and rights", () => {
    const role = ofType(prod, "kubernetes:rbac.authorization.k8s.io/v1:Role").find(
      ({ inputs }) => (inputs["metadata"] as { name: string }).name === "agents-deployer"
    )
    const rules = role!.inputs["rules"] as ReadonlyArray<{ resources: ReadonlyArray<string> }>
    const resources = rules.flatMap((rule) => rule.resources)
    expect(resources).toContain("statefulsets")
    expect(resources.filter((name) => /secrets|serviceaccounts|roles|rolebindings|\*/.test(name))).toEqual([])
  })

  it("uses account ids that Google accepts", () => {
    for (const { inputs } of ofType(all, "gcp:serviceaccount/account:Account")) {
      expect(inputs["accountId"]).toMatch(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/)
      expect(inputs["project"]).toMatch(/^[a-z][a-z0-9-]{4,28}[a-z0-9]$/)
    }
  })

  it("hands every role its own login, with the files that processes read", () => {
    const secrets = ofType(prod, "kubernetes:core/v1:Secret").map(({ inputs }) => inputs)
    expect(secrets).toHaveLength(databaseRoles.length)
    const passwords = new Set<unknown>()
    for (const role of databaseRoles) {
      const secret = secrets.find(({ metadata }) => (metadata as { name: string }).name === databaseSecret(role))
      const data = secret!["stringData"] as Record<string, string>
      expect(data).toMatchObject({
        host: "10.50.0.3",
        port: "5432",
        database: "effect_cluster",
        username: role,
        sslmode: "require"
      })
      expect(data["password"]).toMatch(/^[\w-]{32}$/)
      passwords.add(data["password"])
    }
    expect(passwords.size).toBe(databaseRoles.length)
  })

  it("is made by stacks of these sizes", () => {
    // A change here is a change of what is paid for: read the difference before you write the new number.
    expect(Object.fromEntries(stacks.map((one) => [`${one.project}/${one.stack}`, one.resources.length]))).toEqual({
      "foundation/shared": 23,
      "foundation/dev": 39,
      "foundation/staging": 39,
      "foundation/prod": 39,
      "delivery/shared": 35,
      "delivery/dev": 9,
      "delivery/staging": 13,
      "delivery/prod": 9,
      "platform/dev": 90,
      "platform/staging": 90,
      "platform/prod": 91,
      "observe/shared": 0,
      "observe/dev": 0,
      "observe/staging": 0,
      "observe/prod": 0
    })
  })

  it("keeps every password secret in the state", () => {
    const passwords = all.filter(({ type }) => type === "gcp:sql/user:User" || type === "kubernetes:core/v1:Secret")
    expect(passwords.length).toBeGreaterThan(20)
    for (const { inputs, name, secrets } of passwords) {
      if (inputs["type"] !== undefined) continue
      expect(secrets.join(), name).toMatch(/password|stringData/)
    }
  })

  it("names no resource twice", () => {
    for (const { resources } of stacks) {
      const names = resources.map(({ type, name }) => `${type} ${name}`)
      expect(names.filter((name, i) => names.indexOf(name) < i)).toEqual([])
    }
  })

  it("knows every environment", () => {
    expect(environments).toEqual(["dev", "prod", "staging"])
  })
})
