/** `infra/teardown` with stand-ins for gcloud, kubectl and pulumi that write down how they were called. */
import { spawnSync } from "node:child_process"
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { environmentProject } from "./names.ts"

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "teardown-"))
  mkdirSync(join(folder, "bin"))
  mkdirSync(join(folder, "infra"))
  for (const file of ["teardown", "Pulumi.dev.yaml", "Pulumi.prod.yaml"]) {
    cpSync(join(import.meta.dirname, file), join(folder, "infra", file))
  }
  for (const command of ["gcloud", "kubectl", "pulumi"]) {
    const metrics =
      command === "kubectl" ? `case "$*" in *metrics*) echo 'agents_open_runs{status="accepted"} 0' ;; esac\n` : ""
    const file = join(folder, "bin", command)
    writeFileSync(file, `#!/bin/sh\necho "${command} $*" >> ${join(folder, "calls")}\n${metrics}`)
    chmodSync(file, 0o755)
  }
})
afterEach(() => rmSync(folder, { recursive: true }))

const teardown = (environment: string, typed: string, env: Record<string, string> = {}) => {
  const { status } = spawnSync("bash", [join(folder, "infra", "teardown"), environment], {
    input: typed,
    env: { ...process.env, ...env, PATH: `${join(folder, "bin")}:${process.env["PATH"]}` }
  })
  const calls = join(folder, "calls")
  return { status, calls: existsSync(calls) ? readFileSync(calls, "utf8").trim().split("\n") : [] }
}

describe("infra/teardown", () => {
  it("does nothing to an environment that is none, to what all share, or without its name typed out", () => {
    expect(teardown("perf", "perf\nperf\n")).toEqual({ status: 2, calls: [] })
    expect(teardown("shared", "shared\nshared\n")).toEqual({ status: 2, calls: [] })
    expect(teardown("dev", "yes\n")).toEqual({ status: 10, calls: [] })
  })

  it("does nothing to prod unless that is said twice", () => {
    expect(teardown("prod", "prod\nprod\n")).toEqual({ status: 10, calls: [] })
  })

  it("turns users away and makes the final backup, and deletes nothing before the name is typed again", () => {
    const { calls, status } = teardown("dev", "dev\nno\n")
    expect(status).toBe(10)
    expect(calls.at(-1)).toMatch(/^gcloud sql backups create --instance=agents/)
    expect(calls.filter((call) => call.startsWith("pulumi"))).toEqual([])
  })

  it("drains, backs up, takes the protection off, and destroys in the reverse order of making", () => {
    const { calls, status } = teardown("dev", "dev\ndev\n")
    expect(status).toBe(0)
    const at = (what: RegExp) => {
      const place = calls.findIndex((call) => what.test(call))
      expect(place, `${what} in\n${calls.join("\n")}`).toBeGreaterThanOrEqual(0)
      return place
    }
    const order = [/scale deployment\/agent-gateway --replicas=0/, /metrics/, /backups create/, /protect false/].map(at)
    expect(order).toEqual(order.toSorted((a, b) => a - b))
    const destroyed = calls.flatMap((call) => /^pulumi destroy --cwd stacks\/(\w+) --stack dev/.exec(call)?.[1] ?? [])
    expect(destroyed).toEqual(["observe", "platform", "delivery", "foundation"])
    expect(calls.filter((call) => call.includes("--project=")).length).toBeGreaterThan(0)
    for (const call of calls.filter((call) => call.includes("--project="))) {
      expect(call).toContain(`--project=${environmentProject("dev")}`)
    }
  })
})
