/** Ctrl-C while pods and a hook run, as at a terminal: it reaches the whole group of processes. */
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Context from "../../src/rehearsal/drivers/kubernetes/Context.ts"
import * as KubernetesDriver from "../../src/rehearsal/drivers/kubernetes/KubernetesDriver.ts"
import { eventually } from "../support/processes.ts"

const PATIENCE_MS = 90_000

/** Commands that still run with this text among their arguments or in their environment. */
const processesWith = (text: string) =>
  readdirSync("/proc").filter((pid) => {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) return false
    try {
      return readFileSync(`/proc/${pid}/environ`, "utf8").includes(text)
    } catch {
      return false
    }
  })

it.scopedLive(
  "ends after Ctrl-C with nothing left on the cluster, and no process of its own",
  () =>
    Effect.gen(function* () {
      const prefix = `deliver-test-${crypto.randomUUID().slice(0, 8)}`
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "interrupted-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      const entry = join(import.meta.dirname, "interrupted-entry.ts")
      let said = ""
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const started = spawn(process.execPath, [entry, prefix, folder, process.env["CLUSTER_IMAGE"] ?? ""], {
            detached: true,
            stdio: ["ignore", "pipe", "pipe"],
            env: { ...process.env, INTERRUPTED_TEST: prefix }
          })
          for (const stream of [started.stdout, started.stderr]) stream.on("data", (data) => (said += data))
          return started
        }),
        (started) => Effect.sync(() => void (started.exitCode === null && started.kill("SIGKILL")))
      )
      yield* eventually(
        Effect.sync(() => said),
        (text) => text.includes("hook of a") || child.exitCode !== null,
        "the hook runs",
        PATIENCE_MS
      )
      expect(child.exitCode, said).toBeNull()
      process.kill(-child.pid!, "SIGINT")
      yield* eventually(
        Effect.sync(() => child.exitCode),
        (code) => code !== null,
        "it ends",
        PATIENCE_MS
      )
      expect([child.exitCode, said]).toEqual([
        130,
        expect.stringContaining("Everything that was started has been ended")
      ])

      const context = yield* Context.find(process.env["CLUSTER_CONTEXT"])
      const { api } = yield* KubernetesDriver.make({
        context: context.name,
        stateFolder: folder,
        namespace: () => ""
      })
      for (const target of ["a", "b"]) {
        const gone = yield* Effect.flip(api.call(`/api/v1/namespaces/${prefix}-${target}`))
        expect(gone.status).toBe(404)
      }
      expect(processesWith(prefix)).toEqual([])
    }),
  PATIENCE_MS * 2
)
