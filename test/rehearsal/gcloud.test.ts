/** The unmodified gcloud drives the server through a whole delivery. `make test-gcloud`; skipped where gcloud is missing. */
import { execFile, execFileSync } from "node:child_process"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { awaitState, BAD, GOOD, make, PARENT, PIPELINE } from "../support/rehearsal-server.ts"

const present = (() => {
  try {
    execFileSync("gcloud", ["version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})()
if (!present && process.env["GCLOUD"] === "1") {
  process.stdout.write("gcloud is not on this machine: its transcript is skipped.\n")
}

// Each call of gcloud takes seconds, so the whole of it has a target of its own.
describe.skipIf(!present || process.env["GCLOUD"] !== "1")("gcloud deploy, unmodified", () => {
  it.scopedLive(
    "applies, releases, approves, advances, sees a failed verify, rolls back, lists and describes",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 10 })
        yield* server.start
        const gcloud = (...args: ReadonlyArray<string>) =>
          Effect.async<{ readonly code: number; readonly out: string }>((resume) => {
            const env = { ...process.env, ...server.environment(), CLOUDSDK_DEPLOY_DELIVERY_PIPELINE: "tiny" }
            execFile("gcloud", ["deploy", ...args, "--region=us-central1"], { env }, (error, stdout, stderr) => {
              const out = `${stdout}${stderr}`
              process.stdout.write(`$ gcloud deploy ${args.join(" ")}\n${out}\n`)
              resume(Effect.succeed({ code: error === null ? 0 : Number(error.code), out }))
            })
          })
        const ok = (...args: ReadonlyArray<string>) =>
          Effect.tap(gcloud(...args), ({ code, out }) =>
            Effect.sync(() => expect(out, args.join(" ")).toSatisfy(() => code === 0))
          )
        const release = (id: string, image: string, ...more: ReadonlyArray<string>) =>
          ok("releases", "create", id, `--source=${server.source}`, `--images=tiny=${image}`, ...more)
        const rollout = (id: string, target: string, number = 1) =>
          `${PIPELINE}/releases/${id}/rollouts/${id}-to-${target}-000${number}`
        const named = (id: string, target: string) => [`${id}-to-${target}-0001`, `--release=${id}`]

        yield* ok("apply", `--file=${server.deliveryFile}`)
        yield* release("r-1", GOOD)
        yield* awaitState(server, rollout("r-1", "dev"), ["SUCCEEDED"])
        yield* ok("releases", "promote", "--release=r-1", "--to-target=prod")
        yield* awaitState(server, rollout("r-1", "prod"), ["PENDING_APPROVAL"])
        yield* ok("rollouts", "approve", ...named("r-1", "prod"))
        const first = yield* awaitState(server, rollout("r-1", "prod"), ["SUCCEEDED"])
        const states = (first.body["phases"] as ReadonlyArray<{ state: string }>).map(({ state }) => state)
        expect(states, "the first rollout skips the canary").toEqual(["SKIPPED", "SUCCEEDED"])

        yield* release("r-2", GOOD)
        yield* awaitState(server, rollout("r-2", "dev"), ["SUCCEEDED"])
        yield* ok("releases", "promote", "--release=r-2", "--to-target=prod")
        yield* ok("rollouts", "approve", ...named("r-2", "prod"))
        yield* awaitState(server, rollout("r-2", "prod"), ["IN_PROGRESS"])
        yield* ok("rollouts", "advance", ...named("r-2", "prod"), "--phase-id=stable").pipe(Effect.retry({ times: 3 }))
        yield* awaitState(server, rollout("r-2", "prod"), ["SUCCEEDED"])

        yield* release("r-3", BAD)
        const failed = yield* awaitState(server, rollout("r-3", "dev"), ["FAILED"])
        expect(failed.body["deployFailureCause"]).toBe("VERIFICATION_FAILED")
        yield* ok("rollouts", "retry-job", ...named("r-3", "dev"), "--job-id=verify", "--phase-id=stable")
        yield* awaitState(server, rollout("r-3", "dev"), ["FAILED"])
        yield* ok("targets", "rollback", "dev", "--release=r-2", "--delivery-pipeline=tiny")
        yield* awaitState(server, rollout("r-2", "dev", 2), ["SUCCEEDED"])

        const rejected = yield* gcloud("rollouts", "approve", ...named("r-2", "prod"))
        expect(rejected.code).not.toBe(0)
        expect(rejected.out).toContain("SUCCEEDED")

        expect((yield* ok("rollouts", "describe", ...named("r-3", "dev"))).out).toContain("VERIFICATION_FAILED")
        expect((yield* ok("rollouts", "list", "--release=r-2")).out).toContain("r-2-to-dev-0002")
        expect((yield* ok("releases", "list")).out).toContain("r-3")
        yield* ok("releases", "describe", "r-2")
        yield* ok("targets", "describe", "prod")
        yield* ok("targets", "list")
        yield* ok("delivery-pipelines", "describe", "tiny")
        yield* ok("delivery-pipelines", "list")
        yield* ok("job-runs", "list", "--release=r-3", "--rollout=r-3-to-dev-0001")
        yield* ok("releases", "abandon", "r-1")
        yield* ok("get-config")
        expect((yield* server.call("GET", `v1/${PARENT}/targets`)).status).toBe(200)
      }),
    { timeout: 600_000 }
  )
})
