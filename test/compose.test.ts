/** `docker-compose.yml` against what it starts: a file that nobody runs in CI goes stale unnoticed. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Either } from "effect"
import { afterAll, describe, expect, it } from "vitest"
import { parse, parseAllDocuments } from "yaml"
import { readEdge } from "../src/gateway/edge/EdgeSettings.ts"
import { readGateway } from "../src/gateway/GatewaySettings.ts"
import { ROLES } from "../src/rehearsal/Platform.ts"
import { readRunner } from "../src/runtime/Settings.ts"
import { inOrder, readCompose } from "../tools/stack/Compose.ts"

interface Service {
  readonly image?: string
  readonly build?: { readonly target?: string }
  readonly entrypoint?: ReadonlyArray<string>
  readonly command?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
  readonly configs?: ReadonlyArray<{ readonly source: string; readonly target: string }>
  readonly ports?: ReadonlyArray<string>
  readonly depends_on?: Readonly<Record<string, { readonly condition: string }>>
  readonly healthcheck?: { readonly test: ReadonlyArray<string> }
}

const text = (path: string) => readFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), "utf8")
const compose = parse(text("docker-compose.yml"), { merge: true }) as {
  readonly services: Readonly<Record<string, Service>>
  readonly configs: Readonly<Record<string, { readonly content: string }>>
}
const service = (name: string): Service => {
  const found = compose.services[name]
  if (found === undefined) throw new Error(`docker-compose.yml has no service ${name}`)
  return found
}
const dockerfile = text("Dockerfile")

/** The container of the same name that Kubernetes runs. */
const container = (file: string, name: string) =>
  parseAllDocuments(text(file))
    .map(
      (document) =>
        document.toJS() as {
          spec?: {
            template?: {
              spec?: {
                containers?: ReadonlyArray<{
                  name: string
                  command: ReadonlyArray<string>
                  env: ReadonlyArray<{ name: string; value?: string }>
                  readinessProbe: { httpGet: { path: string } }
                  ports: ReadonlyArray<{ name: string; containerPort: number }>
                }>
              }
            }
          }
        }
    )
    .flatMap((object) => object.spec?.template?.spec?.containers ?? [])
    .find((each) => each.name === name)

const folder = mkdtempSync(join(tmpdir(), "agents-compose-"))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The environment of a service, with its mounted files where a test can read them. */
const environmentOf = (name: string) => {
  const { configs = [], environment = {} } = service(name)
  for (const { source, target } of configs) {
    writeFileSync(join(folder, basename(target)), compose.configs[source]?.content ?? "")
  }
  return { ...environment, DATABASE_SECRET_DIR: folder }
}

describe.each([
  ["runner", "k8s/base/runner/runner.yaml"],
  ["gateway", "k8s/base/gateway.yaml"]
] as const)("%s", (name, file) => {
  const deployed = container(file, name)

  it("starts what Kubernetes starts, from the same image", () => {
    expect(service(name).entrypoint).toEqual(deployed?.command)
    expect(service(name).image).toBe("agents")
  })

  it("is healthy when it is ready, on the port and path of the probe", () => {
    const check = service(name).healthcheck?.test.join(" ") ?? ""
    const port = deployed?.ports.find((each) => each.name === "http")?.containerPort
    expect(check).toContain(`http://127.0.0.1:${port}${deployed?.readinessProbe.httpGet.path}`)
    expect(service(name).environment?.["HTTP_PORT"]).toBe(String(port))
    // The image has no shell, no curl and no wget.
    expect(service(name).healthcheck?.test.slice(0, 2)).toEqual(["CMD", "/nodejs/bin/node"])
  })

  it("sets only variables that the process is given on Kubernetes, too", () => {
    const known = [
      ...(deployed?.env.map((each) => each.name) ?? []),
      "IDENTITY_ISSUER",
      "IDENTITY_AUDIENCE",
      "IDENTITY_JWKS_URL",
      "EDGE_CALLERS",
      "USER_AUDIENCE"
    ]
    for (const variable of Object.keys(service(name).environment ?? {})) expect(known).toContain(variable)
  })

  it("has its Secret's files where it looks for them", () => {
    for (const { target } of service(name).configs ?? []) {
      expect(target.startsWith(`${service(name).environment?.["DATABASE_SECRET_DIR"]}/`)).toBe(true)
    }
  })
})

it("gives runner and gateway a configuration that they take", () => {
  const runner = Either.getOrThrow(readRunner(environmentOf("runner")))
  expect(runner.database).toMatchObject({
    host: "postgres",
    port: 5432,
    database: "effect_cluster",
    username: "runtime"
  })
  expect(runner.runner).toEqual({ host: "runner", port: 50_000 })
  const gateway = Either.getOrThrow(readGateway(environmentOf("gateway")))
  expect(gateway.serve.identity).toMatchObject({
    issuer: service("issuer").environment?.["IDENTITY_ISSUER"],
    audience: "agent-gateway"
  })
  expect(gateway.serve.identity.jwksUrl.host).toBe(`issuer:${service("issuer").environment?.["HTTP_PORT"]}`)
})

it("has an edge that its gateway believes, with tokens of the same issuer", () => {
  const edge = Either.getOrThrow(readEdge(service("edge").environment ?? {})).serve
  const gateway = Either.getOrThrow(readGateway(environmentOf("gateway"))).serve
  expect(edge.gateway.url.host).toBe(`gateway:${gateway.port}`)
  expect(edge.gateway.token).toEqual({ metadataHost: "issuer:8080", audience: gateway.identity.audience })
  const { issuer, jwksUrl } = gateway.identity
  expect(edge.identity).toEqual({ issuer, jwksUrl, audience: service("gateway").environment?.["USER_AUDIENCE"] })
  // Whom the issuer names in its tokens.
  expect(text("src/bin/dev-issuer.ts")).toContain(`email: "${service("gateway").environment?.["EDGE_CALLERS"]}"`)
  expect(service("edge").healthcheck).toEqual(service("gateway").healthcheck)
  for (const variable of Object.keys(service("edge").environment ?? {})) {
    expect(text("src/gateway/edge/EdgeSettings.ts") + text("src/gateway/Origins.ts")).toContain(`"${variable}"`)
  }
})

it("names programs and stages that the Dockerfile makes", () => {
  for (const { build, entrypoint } of Object.values(compose.services)) {
    if (build?.target !== undefined) expect(dockerfile).toMatch(new RegExp(` AS ${build.target}$`, "m"))
    if (entrypoint !== undefined) {
      expect(entrypoint[0]).toBe("/nodejs/bin/node")
      expect(dockerfile).toContain(`'${basename(entrypoint[1] ?? "", ".js")}'`)
    }
  }
  expect(text(service("issuer").command?.[1] ?? "")).toContain("DevIssuer.make")
})

it("migrates as the owner before a runner starts, and waits for each that it needs", () => {
  expect(service("migrate").entrypoint?.slice(2)).toEqual(["migrate", "up"])
  expect(service("migrate").configs?.map(({ source }) => source)).toContain("migrator-username")
  expect(service("runner").depends_on).toEqual({ migrate: { condition: "service_completed_successfully" } })
  for (const { depends_on = {} } of Object.values(compose.services)) {
    for (const [name, { condition }] of Object.entries(depends_on)) {
      if (condition === "service_healthy") expect(service(name).healthcheck).toBeDefined()
    }
  }
})

it("has Postgres 16 with the platform's roles, and is reached from this machine alone", () => {
  expect(service("postgres").image).toBe("postgres:16")
  for (const role of ROLES) expect(compose.configs["roles"]?.content).toContain(`create role ${role} login`)
  for (const role of ["runtime", "migrator"]) expect(compose.configs[`${role}-username`]?.content).toBe(role)
  for (const { ports = [] } of Object.values(compose.services)) {
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:\d+:8080$/)
  }
})

describe("make stack", () => {
  const file = text("docker-compose.yml")

  it("reads all of the file, and starts nothing before what it waits for", () => {
    const read = readCompose(file)
    const order = inOrder(read)
    expect([...order].sort()).toEqual(Object.keys(compose.services).sort())
    for (const [name, { depends_on }] of Object.entries(read.services)) {
      for (const other of Object.keys(depends_on)) expect(order.indexOf(other)).toBeLessThan(order.indexOf(name))
    }
    expect(read.services["runner"]).toMatchObject({ stop_grace_period: 60, healthcheck: { interval: 3, retries: 20 } })
  })

  it.each([
    [
      "a key that it would have to pass over",
      ["image: postgres:16", "image: postgres:16\n    privileged: true"],
      "privileged"
    ],
    ["a port for other machines", ['"127.0.0.1:8082:8080"', '"8082:8080"'], "services.edge.ports"],
    ["a config that is not there", ["source: database-host", "source: database-hots"], "database-hots"],
    ["a service that is not there", ["issuer: { condition", "isuser: { condition"], "isuser"],
    [
      "services that wait for one another",
      ["postgres: { condition: service_healthy }", "gateway: { condition: service_healthy }"],
      "migrate -> gateway -> runner -> migrate"
    ],
    [
      "a wait for health that nobody checks",
      ["issuer: { condition: service_started }", "issuer: { condition: service_healthy }"],
      "issuer to be healthy"
    ]
  ] as const)("refuses %s, by name", (_, [find, replace], named) => {
    expect(file).toContain(find)
    expect(() => readCompose(file.replaceAll(find, replace))).toThrow(named)
  })
})
