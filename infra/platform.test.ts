import { beforeAll, describe, expect, it } from "vitest"
import { databaseRoles, databaseSecret, environments } from "./names.ts"
import { type Captured, capture } from "./testing/capture.ts"

let dev: ReadonlyArray<Captured>
let prod: ReadonlyArray<Captured>
beforeAll(async () => {
  dev = await capture("dev", true)
  prod = await capture("prod", false)
})

const ofType = (captured: ReadonlyArray<Captured>, type: string) => captured.filter((one) => one.type === type)
const only = (captured: ReadonlyArray<Captured>, type: string) => {
  const found = ofType(captured, type)
  expect(found, type).toHaveLength(1)
  return found[0]!.inputs
}

describe("the platform of one environment", () => {
  it("keeps the database private, encrypted, highly available and recoverable", () => {
    expect(only(prod, "gcp:sql/databaseInstance:DatabaseInstance")).toMatchObject({
      databaseVersion: "POSTGRES_16",
      deletionProtection: true,
      settings: {
        tier: "db-custom-2-7680",
        availabilityType: "REGIONAL",
        backupConfiguration: { enabled: true, pointInTimeRecoveryEnabled: true },
        ipConfiguration: { ipv4Enabled: false, sslMode: "ENCRYPTED_ONLY", privateNetwork: "prod-network-id" }
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
    const roles = [...dev, ...prod]
      .filter(({ type }) => /IAMMember|IamMember/.test(type))
      .map(({ inputs }) => String(inputs["role"]))
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
    for (const { inputs } of ofType([...dev, ...prod], "gcp:serviceaccount/account:Account")) {
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

  it("makes the pipeline and the registry in the one stack that is told to", () => {
    const delivery = (captured: ReadonlyArray<Captured>) =>
      captured.filter(({ type }) => /^gcp:(clouddeploy|artifactregistry\/repository:)/.test(type)).length
    // 3 targets, 1 pipeline, 3 automations, 2 policies, 1 repository
    expect(delivery(dev)).toBe(10)
    expect(delivery(prod)).toBe(0)
  })

  it("names no resource twice", () => {
    const names = dev.map(({ type, name }) => `${type} ${name}`)
    expect(names.filter((name, i) => names.indexOf(name) < i)).toEqual([])
  })

  it("knows every environment", () => {
    expect(environments).toEqual(["dev", "staging", "prod"])
  })
})
