import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Either, Redacted } from "effect"
import { afterEach, describe, expect, it } from "vitest"
import { databaseFromUrl, type Env, readRunner } from "./Settings.ts"

const folders: Array<string> = []
afterEach(() => folders.splice(0).forEach((folder) => rmSync(folder, { recursive: true })))

const secret = (values: Readonly<Record<string, string>> = {}): string => {
  const folder = mkdtempSync(join(tmpdir(), "agents-secret-"))
  folders.push(folder)
  const all = { host: "10.0.0.1", port: "5433", database: "effect_cluster", username: "runtime", password: "s3cret" }
  for (const [name, value] of Object.entries({ ...all, ...values })) writeFileSync(join(folder, name), `${value}\n`)
  return folder
}

const problemsOf = (env: Env): string =>
  Either.match(readRunner(env), { onLeft: ({ message }) => message, onRight: () => "" })

describe("Settings", () => {
  it("reads a pod's environment and its mounted Secret", () => {
    const settings = Either.getOrThrow(
      readRunner({
        POD_NAME: "effect-agent-runtime-0",
        RUNNER_HOST: "effect-agent-runtime-0.effect-agent-runners.agents.svc.cluster.local",
        LISTEN_HOST: "0.0.0.0",
        SHARD_GROUPS: "default,enterprise",
        DATABASE_SECRET_DIR: secret()
      })
    )
    expect(settings).toMatchObject({
      name: "effect-agent-runtime-0",
      listenHost: "0.0.0.0",
      runner: { port: 50_000 },
      httpPort: 8080,
      shardsPerGroup: 300,
      shardGroups: ["default", "enterprise"],
      assignedShardGroups: ["default", "enterprise"],
      messageStorage: "group",
      stepEngine: "auto",
      database: { host: "10.0.0.1", port: 5433, database: "effect_cluster", username: "runtime", tls: false }
    })
  })

  it("takes shards of the groups that it is assigned, which must be among those that there are", () => {
    const base = { RUNNER_HOST: "127.0.0.1", DATABASE_SECRET_DIR: secret(), SHARD_GROUPS: "default,enterprise" }
    const read = readRunner({ ...base, ASSIGNED_SHARD_GROUPS: "enterprise" })
    expect(Either.getOrThrow(read)).toMatchObject({
      shardGroups: ["default", "enterprise"],
      assignedShardGroups: ["enterprise"]
    })
    expect(problemsOf({ ...base, ASSIGNED_SHARD_GROUPS: "large" })).toContain(
      "ASSIGNED_SHARD_GROUPS names large, which is not among SHARD_GROUPS (default, enterprise)"
    )
  })

  it("asks runners for their health, and Kubernetes where it is told to and can", () => {
    const base = { RUNNER_HOST: "127.0.0.1", DATABASE_SECRET_DIR: secret() }
    const of = (env: object) => Either.map(readRunner({ ...base, ...env }), ({ runnerHealth }) => runnerHealth)
    expect(of({ KUBERNETES_SERVICE_HOST: "10.0.0.1" })).toEqual(Either.right("ping"))
    expect(of({ RUNNER_HEALTH: "kubernetes", KUBERNETES_SERVICE_HOST: "10.0.0.1" })).toEqual(
      Either.right({
        url: "https://10.0.0.1:443",
        namespace: "agents",
        tokenFile: "/var/run/secrets/kubernetes.io/serviceaccount/token"
      })
    )
    expect(problemsOf({ ...base, RUNNER_HEALTH: "kubernetes" })).toContain("KUBERNETES_API_URL is not set")
    expect(problemsOf({ ...base, RUNNER_HEALTH: "none" })).toContain("RUNNER_HEALTH")
  })

  it("is not led astray by what Kubernetes puts into the environment", () => {
    const settings = readRunner({
      RUNNER_HOST: "127.0.0.1",
      DATABASE_SECRET_DIR: secret(),
      HOST: "elsewhere",
      PORT: "tcp://10.0.0.9:80",
      LISTEN_PORT: "tcp://10.0.0.9:80"
    })
    expect(Either.isRight(settings)).toBe(true)
  })

  it("says everything that is wrong at once", () => {
    const message = problemsOf({ RUNNER_PORT: "99999", HTTP_PORT: "", SHARD_GROUPS: "a,a", LOG_LEVEL: "loud" })
    for (const name of ["RUNNER_HOST", "RUNNER_PORT", "SHARD_GROUPS", "LOG_LEVEL", "DATABASE_SECRET_DIR"]) {
      expect(message).toContain(name)
    }
  })

  it("names the file of the Secret that is missing or empty", () => {
    const folder = secret({ host: "" })
    rmSync(join(folder, "username"))
    const message = problemsOf({ RUNNER_HOST: "127.0.0.1", DATABASE_SECRET_DIR: folder })
    expect(message).toContain(`${join(folder, "host")} is empty`)
    expect(message).toContain(`${join(folder, "username")} is missing`)
    expect(message).not.toContain("s3cret")
  })

  it("reads the password anew for each connection, so that a rotation needs no restart", () => {
    const folder = secret()
    const { database } = Either.getOrThrow(readRunner({ RUNNER_HOST: "127.0.0.1", DATABASE_SECRET_DIR: folder }))
    writeFileSync(join(folder, "password"), "rotated\n")
    expect(Redacted.value(database.password())).toBe("rotated")
    expect(JSON.stringify(database)).not.toContain("rotated")
  })

  it("takes a URL apart, escapes included", () => {
    const database = databaseFromUrl("postgres://a%40b:p%2Fw@127.0.0.1:6000/db?sslmode=require")
    expect({ ...database, password: Redacted.value(database.password()) }).toEqual({
      host: "127.0.0.1",
      port: 6000,
      database: "db",
      username: "a@b",
      password: "p/w",
      tls: true
    })
  })
})
