import { execFile } from "node:child_process"
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { beforeAll, describe, expect, it } from "vitest"
import type { KubeObject } from "../src/gates/manifests/Workload.ts"
import { readOrigins } from "../src/gateway/GatewaySettings.ts"
import { Reader } from "../src/runtime/Settings.ts"
import { connectionPlan } from "./budget.ts"
import { platformPage } from "./diagram.ts"
import { failureModes, logMetrics } from "./failureModes.ts"
import { iamPage } from "./iam.ts"
import { databaseRoles, databaseSecret, environments } from "./names.ts"
import { objectives } from "./objectives.ts"
import { violations } from "./policies.ts"
import type { Captured, CapturedStack } from "./testing/capture.ts"
import { disagreements } from "./testing/disagreements.ts"
import { type Facts, gather, root } from "./testing/facts.ts"
import { providerErrors } from "./testing/providerRules.ts"
import { schemaErrors } from "./testing/schema.ts"

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
  ["overlays", '"name":"effect-agent-runtime"', '"name":"agent-runtime"', /StatefulSets of overlays/],
  ["platform", "effect-agent-runtime-enterprise", "effect-agent-enterprise", /runners that may be reached/],
  ["platform", '"name":"agents-job"', '"name":"agents-jobs"', /priority classes of k8s\/platform/],
  ["jobs", '"priorityClassName":"agents-job"', '"priorityClassName":"job"', /priority classes that Pulumi creates/],
  ["platform", '"name":"agent-smoke"', '"name":"smoke"', /accounts of k8s\/platform/],
  ["captured", "[agents/agent-runtime]", "[default/agent-runtime]", /who may act as a Google account/],
  ["captured", '"name":"effect_cluster"', '"name":"effect"', /database in/],
  ["captured", '"name":"reader"', '"name":"readonly"', /logins in/],
  ["cloudbuild", "us-central1-docker.pkg.dev", "us-docker.pkg.dev", /cloudbuild\.yaml does not name/],
  ["cloudbuild", "agents-builder", "agents-build", /does not name agents-builder/],
  ["cloudbuild", "agents-built", "agents-signed", /does not name agents-built/],
  ["cloudbuild", "-build-cache", "-cache", /does not name .*build-cache/],
  ["cloudbuild", "-releases", "-sources", /does not name .*-releases/],
  ["cloudbuild", "workerPools/agents", "workerPools/builds", /does not name workerPools/],
  [
    "captured",
    '"name":"agents","project":"effect-agents-example","serialPipeline"',
    '"name":"agent","project":"effect-agents-example","serialPipeline"',
    /pipeline that Pulumi creates/
  ],
  [
    "captured",
    '"iam.gke.io/gcp-service-account":"agent-runtime@',
    '"iam.gke.io/gcp-service-account":"runtime@',
    /who may act as a Google account/
  ]
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
    expect(replica!.inputs).toMatchObject({
      masterInstanceName: "agents",
      region: "us-east1",
      encryptionKeyName: "projects/effect-agents-example-prod/locations/us-east1/keyRings/agents/cryptoKeys/database"
    })
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
          privateNetwork: "projects/effect-agents-example-prod/global/networks/agents"
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

  it("tells gateways and edge from which origins pages may call, as both read them", () => {
    const platform = ofType(prod, "kubernetes:core/v1:ConfigMap").find(
      ({ inputs }) => (inputs["metadata"] as { name: string }).name === "agent-platform"
    )!.inputs["data"] as Record<string, string>
    const { containers } = only(prod, "gcp:cloudrunv2/service:Service")["template"] as {
      containers: ReadonlyArray<{ envs: ReadonlyArray<{ name: string; value: string }> }>
    }
    const edge = Object.fromEntries(containers[0]!.envs.map(({ name, value }) => [name, value]))
    for (const env of [platform, edge]) {
      const reader = new Reader(env)
      expect(readOrigins(reader)).toEqual(["https://app.agents.example.com"])
      expect(reader.problems).toEqual([])
    }
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
      "foundation/dev": 43,
      "foundation/staging": 43,
      "foundation/prod": 43,
      "delivery/shared": 40,
      "delivery/dev": 9,
      "delivery/staging": 13,
      "delivery/prod": 9,
      "platform/dev": 96,
      "platform/staging": 97,
      "platform/prod": 97,
      "observe/shared": 1,
      "observe/dev": 45,
      "observe/staging": 51,
      "observe/prod": 45
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

  it("puts no secret into anything that is not secret: no other input and no output has one's value", () => {
    const at = (value: unknown, path: string): unknown =>
      path.split(".").reduce<unknown>((found, key) => (found as Record<string, unknown>)[key], value)
    for (const { outputs, project, resources, stack } of stacks) {
      const texts = (value: unknown): ReadonlyArray<string> =>
        typeof value === "string" ? [value] : Object.values(value ?? {}).flatMap(texts)
      const hidden = resources.flatMap(({ inputs, secrets }) => secrets.flatMap((path) => texts(at(inputs, path))))
      // What stands beside a password in a Secret (host, port) is no secret.
      const values = [...new Set(hidden)].filter((text) => /^[\w-]{32}$/.test(text))
      if (project === "platform") expect(values, stack).toHaveLength(databaseRoles.length)
      const plain = resources.map(({ inputs, secrets }) =>
        JSON.stringify(inputs, (key, value: unknown) =>
          secrets.some((path) => path.split(".").at(-1) === key && value === at(inputs, path)) ? "secret" : value
        )
      )
      const seen = [...plain, JSON.stringify(outputs)]
      expect(
        values.filter((value) => seen.some((text) => text.includes(value))),
        `${project}/${stack}`
      ).toEqual([])
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

describe("what the stacks would make", () => {
  it("violates no policy", () => {
    expect(violations(stacks)).toEqual([])
  })

  it("has no input that the SDK's types or their documentation do not know", () => {
    const wrong = all.flatMap(({ inputs, name, type }) =>
      schemaErrors(type, inputs).map((error) => `${name}: ${error}`)
    )
    expect(wrong).toEqual([])
  })

  it("has no input that Google would refuse, as far as its rules are known", () => {
    const wrong = all.flatMap(({ inputs, name, type }) =>
      providerErrors(type, inputs).map((error) => `${name}: ${error}`)
    )
    expect(wrong).toEqual([])
  })

  it("looks as docs/platform.md draws it", () => {
    expect(readFileSync(join(root, "docs", "platform.md"), "utf8"), "run make infra-docs").toBe(platformPage(stacks))
  })

  it("lets everybody do what docs/iam.md says", () => {
    expect(readFileSync(join(root, "docs", "iam.md"), "utf8"), "run make infra-docs").toBe(iamPage(stacks))
  })
})

describe("every failure mode", () => {
  const ids = failureModes.map(({ id }) => id).sort()

  it("has a runbook, an alert that names it, and a panel, in every environment", () => {
    const others = ["README", "failover", "build-refused", "restore"]
    const runbooks = readdirSync(join(root, "docs", "runbooks")).map((file) => file.replace(/\.md$/, ""))
    expect(runbooks.filter((name) => !others.includes(name)).sort()).toEqual(ids)
    for (const environment of environments) {
      const resources = facts.captured[environment]!
      const alerts = ofType(resources, "gcp:monitoring/alertPolicy:AlertPolicy").flatMap(({ inputs }) => {
        const { content } = inputs["documentation"] as { content: string }
        return /docs\/runbooks\/([\w-]+)\.md/.exec(content)?.[1] ?? []
      })
      expect(alerts.sort(), environment).toEqual(ids)
      const dashboard = JSON.parse(String(only(resources, "gcp:monitoring/dashboard:Dashboard")["dashboardJson"])) as {
        mosaicLayout: { tiles: ReadonlyArray<{ widget: { id: string } }> }
      }
      expect(dashboard.mosaicLayout.tiles.map(({ widget }) => widget.id).sort(), environment).toEqual(ids)
    }
  })

  it("is seen by a metric that our processes, our logs or Google write", () => {
    const written = ["src/domain/Metrics.ts", "src/runtime/Health.ts", "src/gateway/Gateway.ts"]
      .map((file) => readFileSync(join(root, file), "utf8"))
      .join()
    const own = [...failureModes.map(({ panel }) => panel), ...objectives.map(({ sli }) => JSON.stringify(sli))]
      .flatMap((query) => [...query.matchAll(/(?<!user_)\b(agents_[a-z_]+)/g)].map(([, name]) => name!))
      .map((name) => name.replace(/_(bucket|count|sum)$/, ""))
    expect(own.length).toBeGreaterThan(8)
    expect(own.filter((name) => !written.includes(`"${name}"`))).toEqual([])
    const counted = failureModes.flatMap(({ panel }) =>
      [...panel.matchAll(/user_(agents_[a-z_]+)/g)].map(([, name]) => name!)
    )
    expect(counted.sort()).toEqual(Object.keys(logMetrics).sort())
    const logged = readFileSync(join(root, "src/gateway/Identity.ts"), "utf8")
    for (const filter of Object.values(logMetrics)) {
      const message = /message="([^"]+)"/.exec(filter)?.[1]
      if (message !== undefined) expect(logged).toContain(message)
    }
  })
})

// Not the synchronous kind: a worker that is deaf for a minute is given up by the test runner.
const run = promisify(execFile)

describe("a new environment", () => {
  it("is one file and one overlay", async () => {
    const copy = mkdtempSync(join(tmpdir(), "perf-"))
    try {
      const parts = ["infra", "src", "clouddeploy", "k8s", "migrations", "smoke", "skaffold.yaml", "package.json"]
      const builds = readdirSync(root).filter((file) => file.startsWith("cloudbuild"))
      for (const part of [...parts, ...builds]) {
        cpSync(join(root, part), join(copy, part), { recursive: true })
      }
      mkdirSync(join(copy, "docs"))
      for (const tools of ["node_modules", ".tools"]) symlinkSync(join(root, tools), join(copy, tools))
      const settings = readFileSync(join(root, "infra", "Pulumi.dev.yaml"), "utf8").replaceAll("dev.", "perf.")
      writeFileSync(join(copy, "infra", "Pulumi.perf.yaml"), settings)
      cpSync(join(root, "k8s", "overlays", "dev"), join(copy, "k8s", "overlays", "perf"), { recursive: true })
      const { stdout: said } = await run("node", ["infra/preview.ts", "--docs"], { cwd: copy })
      for (const project of ["foundation", "delivery", "platform", "observe"]) expect(said).toContain(`${project}/perf`)
      expect(said).toContain("0 violations of policies")
      const rendered = await run("kustomize", ["build", join(copy, "k8s", "overlays", "perf")])
      expect(rendered.stdout).toContain("effect-agent-runtime")
      // What the overlay knows of its environment was written from the one file.
      expect(rendered.stdout).toContain("env: perf")
      expect(rendered.stdout).toContain('DATABASE_CONNECTIONS: "127"')
      // Releases are delivered to it, and every name is the one of every other place.
      const gate = await run("node", ["src/bin/deliver.ts", "gate", "manifests"], { cwd: copy })
      expect(gate.stdout).toMatch(/fences +.*perf|k8s\/overlays\/perf/)
      const lint = await run("node", ["src/bin/deliver.ts", "lint"], { cwd: copy })
      expect(lint.stdout).toContain("PASSED")
      const asked = `import { gather } from "./infra/testing/facts.ts"
import { disagreements } from "./infra/testing/disagreements.ts"
const facts = await gather()
const made = (type) => facts.stacks.flatMap(({ resources }) => resources.filter((one) => one.type === type).map(({ inputs }) => inputs))
process.stdout.write(JSON.stringify({
  disagreements: disagreements(facts),
  targets: made("gcp:clouddeploy/target:Target").map(({ name, gke }) => [name, gke.cluster]),
  stages: made("gcp:clouddeploy/deliveryPipeline:DeliveryPipeline")[0].serialPipeline.stages.map(({ targetId }) => targetId)
}))`
      const { stdout } = await run("node", ["--input-type=module-typescript", "-e", asked], { cwd: copy })
      const facts = JSON.parse(stdout) as { disagreements: unknown; targets: unknown; stages: unknown }
      expect(facts.disagreements).toEqual([])
      expect(facts.stages).toEqual(["dev", "staging", "perf", "prod"])
      expect(facts.targets).toContainEqual([
        "perf",
        "projects/effect-agents-example-perf/locations/us-central1/clusters/agents"
      ])
    } finally {
      rmSync(copy, { recursive: true })
    }
    // All stacks twice, in processes of their own.
  }, 300_000)
})

describe("the connections of a database", () => {
  it("are those of its tier", () => {
    for (const { inputs } of ofType(all, "gcp:sql/databaseInstance:DatabaseInstance")) {
      const { databaseFlags, tier } = inputs["settings"] as {
        databaseFlags: ReadonlyArray<{ name: string; value: string }>
        tier: string
      }
      const { maxConnections } = connectionPlan(tier)
      expect(databaseFlags).toContainEqual({ name: "max_connections", value: String(maxConnections) })
    }
  })
})

describe("the builds", () => {
  it("exist for every trigger", () => {
    const files = all
      .filter(({ type }) => type === "gcp:cloudbuild/trigger:Trigger")
      .map(({ inputs }) => inputs["filename"] ?? (inputs["gitFileSource"] as { path: string }).path)
    expect(files.sort()).toEqual(Object.keys(facts.cloudbuild).sort())
  })
})
