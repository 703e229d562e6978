/** The drill `restore` of `cloudbuild.drills.yaml`, carried out with stand-ins for gcloud and kubectl that write down what they were told. */
import { spawnSync } from "node:child_process"
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import { parse } from "yaml"
import { drillRestoreVerb } from "../src/bin/cli/drillRestore.ts"
import { repository } from "./delivery.ts"
import * as names from "./names.ts"

const file = parse(readFileSync(join(repository, "cloudbuild.drills.yaml"), "utf8"))
const job = parse(readFileSync(join(repository, "k8s", "drills", "restore.yaml"), "utf8"))
const pod = job.spec.template.spec
const [container] = pod.containers

const folders: Array<string> = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

/** What Cloud Build would run, against stand-ins: `state` is what the Job says of itself. */
const drill = (environment: string, state: string, drill = "restore") => {
  const folder = mkdtempSync(join(tmpdir(), "agents-drill-"))
  folders.push(folder)
  const told = join(folder, "told")
  writeFileSync(told, "")
  const program = (name: string, body: string) => {
    writeFileSync(join(folder, name), `#!/usr/bin/env bash\necho "${name} $*" >> "${told}"\n${body}\n`)
    chmodSync(join(folder, name), 0o755)
  }
  program("gcloud", 'case "$*" in *"value(state)"*) echo RUNNABLE ;; *ipAddress*) echo 10.20.0.7 ;; esac')
  program(
    "kubectl",
    `case "$*" in *valueFrom*) echo agent-config-9f75 ;; *"get statefulset"*) echo registry/agents@sha256:1 ;; *"get job.batch/d"*) echo "${state}" ;; *"create -f"*) cat > /dev/null; echo job.batch/d ;;
       *"-f -"*) cat ;; *"set image"*) echo kind: Job ;; esac`
  )
  program("sleep", "")
  const ended = spawnSync("bash", ["--norc", "-c", file.steps[0].script], {
    cwd: repository,
    env: { SHLVL: "1", PATH: `${folder}:${process.env["PATH"]}`, _DRILL: drill, _ENVIRONMENT: environment },
    encoding: "utf8"
  })
  return { ...ended, told: readFileSync(told, "utf8").trim().split("\n") }
}

const copyOf = (told: ReadonlyArray<string>) => /clone agents (agents-restore-[\d-]+) /.exec(told.join("\n"))?.[1]

describe("the drill restore at Google", () => {
  it("copies the database as of five minutes ago, holds it against what was there a minute before, and removes it", () => {
    const { status, stderr, told } = drill("staging", "SuccessCriteriaMet Complete")
    expect(stderr).toBe("")
    expect(status).toBe(0)
    const copy = copyOf(told)
    expect(copy).toBeDefined()
    const at = (pattern: RegExp) => Date.parse(pattern.exec(told.join("\n"))![1]!)
    const moment = at(/--point-in-time=(\S+)/)
    expect(moment - at(/AS_OF=(\S+)/)).toBe(60_000)
    expect(Date.now() - moment).toBeGreaterThanOrEqual(300_000 - 1_000)
    expect(told.find((line) => line.includes("set image"))).toContain("drill-restore=registry/agents@sha256:1")
    expect(told.find((line) => line.includes("set env"))).toContain("COPY_HOST=10.20.0.7")
    expect(told.find((line) => line.includes("patch"))).toContain('"configMapRef":{"name":"agent-config-9f75"}')
    expect(told.at(-1)).toBe(`gcloud sql instances delete ${copy} --project=effect-agents-example-staging --quiet`)
  })

  it("fails when the Job fails or does not end, and removes the copy all the same", () => {
    for (const state of ["FailureTarget Failed", ""]) {
      const { status, stderr, told } = drill("staging", state)
      expect(status).toBe(1)
      expect(stderr).toContain("job.batch/d did not complete")
      expect(told.at(-1)).toContain(`sql instances delete ${copyOf(told)}`)
    }
  })

  it("touches nothing in prod, nor for a drill that is none", () => {
    for (const [environment, name] of [
      ["prod", "restore"],
      ["staging", "restor"]
    ] as const) {
      const { status, told } = drill(environment, "", name)
      expect(status).toBe(2)
      expect(told).toEqual([""])
    }
  })

  it("is given by its Job what the verb takes, and the Secrets of the roles that it needs", () => {
    expect(container.command.slice(2)).toEqual(drillRestoreVerb.name.split(" "))
    const flags = container.args.filter((word: string) => word.startsWith("--")).map((word: string) => word.slice(2))
    expect(flags.filter((flag: string) => !(flag in drillRestoreVerb.flags))).toEqual([])
    const secretAt = (variable: string) => {
      const path = container.env.find(({ name }: { name: string }) => name === variable).value
      const mounted = container.volumeMounts.find(({ mountPath }: { mountPath: string }) => mountPath === path)
      return pod.volumes.find(({ name }: { name: string }) => name === mounted.name).secret.secretName
    }
    expect(secretAt("DATABASE_SECRET_DIR")).toBe(names.databaseSecret("reader"))
    expect(secretAt("COPY_SECRET_DIR")).toBe(names.databaseSecret("migrator"))
    expect(secretAt("RUNNER_SECRET_DIR")).toBe(names.databaseSecret("runtime"))
    for (const { name } of container.env) {
      if (container.args.join(" ").includes(`$(${name})`)) expect(["COPY_HOST", "AS_OF"]).toContain(name)
    }
  })
})
