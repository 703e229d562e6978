/**
 * This repository pushed to a rehearsal of its own: every step of the real `cloudbuild.yaml`, the real gates, the real runners and
 * smoke run, on to staging; then a commit without an activity that an open run is past. `make test-push`; minutes long.
 */
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync } from "node:fs"
import { readFile, rm, symlink, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { parse } from "yaml"
import * as GatewayClient from "../../src/drills/GatewayClient.ts"
import * as Serve from "../../src/rehearsal/api/Serve.ts"
import * as HostClient from "../../src/rehearsal/host/HostClient.ts"
import { ask, PARENT } from "../../src/rehearsal/push/Api.ts"

const ROOT = join(import.meta.dirname, "../..")
const MINUTE = 60_000

interface Hazard {
  readonly expect: string
  readonly edits: ReadonlyArray<{ readonly file: string; readonly find: string; readonly replace: string }>
}

/** Runs to its end and shows all of it, as the pusher's terminal would. */
const shown = (cwd: string, command: string, ...args: ReadonlyArray<string>) =>
  Effect.async<{ readonly code: number | null; readonly out: string }>((resume) => {
    process.stdout.write(`$ ${[command, ...args].join(" ")}\n`)
    const child = spawn(command, args, { cwd, stdio: ["ignore", "pipe", "pipe"] })
    let out = ""
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (chunk: Buffer) => {
        out += chunk
        process.stdout.write(chunk)
      })
    }
    child.once("close", (code) => resume(Effect.succeed({ code, out })))
  })

describe.skipIf(process.env["OWN_PUSH"] !== "1")("git push of this repository", () => {
  it.scopedLive(
    "walks to staging, and is refused by the gate of dev when it strands an open run",
    () =>
      Effect.gen(function* () {
        const folder = mkdtempSync(join(tmpdir(), "own-push-"))
        const clone = join(folder, "clone")
        const cache = join(clone, ".rehearsal")
        const git = (...args: ReadonlyArray<string>) =>
          shown(clone, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", ...args)
        yield* shown(folder, "git", "clone", "--quiet", ROOT, clone)
        // This commit, whatever branch it is on: a clone's own `main` may be an old one.
        yield* git("checkout", "--quiet", "-B", "main")
        for (const name of ["node_modules", ".tools"]) {
          yield* Effect.promise(async () => {
            await symlink(join(ROOT, name), join(clone, name))
            // `make setup` has just looked; the clone's lock files are younger than that, and the same.
            const now = new Date()
            await utimes(join(ROOT, name, ".installed"), now, now)
          })
        }
        // `node_modules/` of .gitignore means folders.
        yield* Effect.promise(() => writeFile(join(clone, ".git", "info", "exclude"), "node_modules\n.tools\n"))
        yield* Effect.acquireRelease(
          Effect.sync(() =>
            spawn(process.execPath, ["src/bin/deliver.ts", "serve", "--port=0", "--clock-scale=60"], {
              cwd: clone,
              stdio: "inherit"
            })
          ),
          (child) =>
            Effect.async<void>((resume) => {
              if (child.exitCode !== null) return resume(Effect.void)
              child.once("exit", () => resume(Effect.void))
              child.kill("SIGTERM")
            }).pipe(
              Effect.zipRight(Effect.ignore(Serve.down(cache))),
              Effect.zipRight(Effect.promise(() => rm(folder, { recursive: true, force: true, maxRetries: 20 })))
            )
        )
        const server = yield* Serve.address(cache).pipe(
          Effect.retry(Schedule.spaced("200 millis").pipe(Schedule.upTo("2 minutes")))
        )
        yield* git("remote", "add", "rehearsal", server.remote)

        const pushed = yield* git("push", "rehearsal", "main")
        expect(pushed.code).toBe(0)
        const { steps } = parse(readFileSync(join(ROOT, "cloudbuild.yaml"), "utf8")) as {
          steps: ReadonlyArray<{ id: string }>
        }
        for (const { id } of steps) expect(pushed.out).toMatch(new RegExp(`remote: ${id} +\\S`))
        expect(pushed.out).toMatch(/-to-dev-0001: SUCCEEDED\./)
        const rollouts = ask(server, "GET", `v1/${PARENT}/deliveryPipelines/agents/releases/-/rollouts`)
        const staging = yield* Effect.map(
          rollouts,
          ({ body }) =>
            (body["rollouts"] as ReadonlyArray<{ readonly targetId: string; readonly state: string }>).find(
              ({ targetId, state }) => targetId === "staging" && ["SUCCEEDED", "FAILED"].includes(state)
            )?.state
        ).pipe(
          Effect.filterOrFail((state) => state !== undefined),
          Effect.retry(Schedule.spaced("1 second").pipe(Schedule.upTo("5 minutes")))
        )
        expect(staging).toBe("SUCCEEDED")

        const host = (yield* HostClient.find(join(Serve.folderOf(cache), "host")))!
        const recorded = yield* host.call("query", {
          target: "staging",
          text: `select approval->>'state' as approval, unknown, jsonb_array_length(images) as images,
            array(select job->>'job' from jsonb_array_elements(jobs) job) as jobs from agents.rollouts where rollout like $1`
        })
        expect(recorded.rows).toEqual([
          {
            approval: "DOES_NOT_NEED_APPROVAL",
            unknown: [],
            images: 2,
            jobs: ["predeploy", "deploy", "verify", "postdeploy"]
          }
        ])
        const at = yield* host.call("service", { target: "dev", service: "agent-gateway", port: "http" })
        const gateway = GatewayClient.make({
          baseUrl: `http://${at.host}:${at.port}`,
          token: Effect.orDie(Effect.map(host.call("token", {}), ({ token }) => token))
        })
        yield* gateway.startRun({ sessionId: "open", runId: "open-1", message: "approve this before you go on" })
        yield* gateway.waitFor("open-1", "waiting", MINUTE)

        const hazard = JSON.parse(readFileSync(join(ROOT, "test/hazards/rename-activity.json"), "utf8")) as Hazard
        for (const { file, find, replace } of hazard.edits) {
          yield* Effect.promise(async () => {
            const text = await readFile(join(clone, file), "utf8")
            expect(text).toContain(find)
            await writeFile(join(clone, file), text.replace(find, replace))
          })
        }
        expect((yield* shown(clone, process.execPath, "src/bin/deliver.ts", "surface")).code).toBe(0)
        yield* git("commit", "--quiet", "--all", "--message", "Name a step anew")
        const refused = yield* git("push", "rehearsal", "main")
        expect(refused.code).not.toBe(0)
        expect(refused.out).toMatch(/remote: dev +predeploy FAILED/)
        expect(refused.out).toContain(hazard.expect)
        expect(refused.out).toContain('REFUSED at step "release"')
        const head = yield* git("ls-remote", "rehearsal", "main")
        expect(head.out).toContain((yield* git("rev-parse", "HEAD~1")).out.trim())
      }),
    { timeout: 20 * MINUTE }
  )
})
