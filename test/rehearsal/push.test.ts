/** A real `git push` to the rehearsal's server: checks, a release that walks, and refusals that leave main where it was. */
import { execFile } from "node:child_process"
import { cp, mkdir, readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { awaitState, DELIVERY, make, PARENT, PIPELINE, type TestServer } from "../support/rehearsal-server.ts"

const BUILD = `steps:
- {id: install, name: node, script: make setup}
- {id: lint, name: node, args: [make, lint]}
- {id: image, name: docker, args: [build, .]}
- {id: smoke-image, name: docker, args: [build, smoke]}
- {id: push, name: docker, script: docker push}
- {id: release, name: gcloud, script: gcloud deploy releases create}
substitutions: {_PIPELINE: tiny}
`
/** A minute here is a second of the test's server. */
const AUTOMATIONS = `apiVersion: deploy.cloud.google.com/v1
kind: Automation
metadata: {name: tiny/promote-dev}
serviceAccount: automation@rehearsal.iam.gserviceaccount.com
selector: {targets: [{id: dev}]}
rules:
- promoteReleaseRule: {id: promote-dev, wait: 1m}
---
apiVersion: deploy.cloud.google.com/v1
kind: DeployPolicy
metadata: {name: never-ignore}
selectors: [{deliveryPipeline: {id: tiny}, target: {id: "*"}}]
rules:
- rolloutRestriction:
    id: never
    actions: [IGNORE_JOB]
    timeWindows:
      timeZone: Etc/UTC
      weeklyWindows: [{startTime: "00:00", endTime: "24:00"}]
`
/** A check that the test can make fail, and that fails should git's own variables reach it. */
const MAKEFILE = 'lint:\n\t@test -z "$$GIT_DIR"\n\t@grep -q good mood\nsetup:\n\t@true\n'
const TOOL = `import { copyFileSync, mkdirSync } from "node:fs"
const out = process.argv[process.argv.indexOf("--out") + 1]
mkdirSync(out, { recursive: true })
copyFileSync("hook.mjs", out + "/hook.mjs")
`

/** A repository as small as the pipeline, and git in it. Gives exit code and what the terminal shows. */
const repository = (server: TestServer) =>
  Effect.gen(function* () {
    const folder = join(server.folder, "repository")
    const git = (...args: ReadonlyArray<string>) =>
      Effect.async<{ readonly code: number; readonly out: string }>((resume) => {
        const own = ["-C", folder, "-c", "user.name=test", "-c", "user.email=test@localhost", ...args]
        execFile("git", own, (error, stdout, stderr) =>
          resume(Effect.succeed({ code: error === null ? 0 : Number(error.code), out: `${stdout}${stderr}` }))
        )
      })
    const write = (files: Readonly<Record<string, string>>) =>
      Effect.promise(async () => {
        for (const [name, text] of Object.entries(files)) {
          await mkdir(join(folder, name, ".."), { recursive: true })
          await writeFile(join(folder, name), text)
        }
      })
    const commit = (files: Readonly<Record<string, string>>) =>
      write(files).pipe(
        Effect.zipRight(git("add", "--all")),
        Effect.zipRight(git("commit", "--quiet", "--message", "a change")),
        Effect.tap(({ code, out }) => Effect.sync(() => expect(out).toSatisfy(() => code === 0))),
        Effect.zipRight(git("rev-parse", "HEAD")),
        Effect.map(({ out }) => out.trim())
      )
    yield* Effect.promise(async () => {
      await cp(server.source, folder, { recursive: true })
      for (const name of ["skaffold.yaml", "before.yaml", "after.yaml", "smoke.yaml"]) {
        const text = await readFile(join(folder, name), "utf8")
        // A commit's images are called as this repository calls them, and its Jobs lie in what a release takes along.
        const moved = text
          .replaceAll("image: tiny", "image: agents")
          .replace(/jobManifestPath: /g, "jobManifestPath: k8s/")
        await writeFile(join(folder, name === "skaffold.yaml" ? name : `k8s/${name}`), moved)
      }
      await cp(join(server.folder, "cache", "releases", "good", "tiny", "app", "hook.mjs"), join(folder, "hook.mjs"))
    })
    yield* git("init", "--quiet", "--initial-branch=main")
    yield* git("remote", "add", "rehearsal", server.address().remote)
    yield* write({
      "cloudbuild.yaml": BUILD,
      Makefile: MAKEFILE,
      "package-lock.json": "{}\n",
      "surface.json": "{}\n",
      "clouddeploy/pipeline.yaml": DELIVERY,
      "clouddeploy/automations.yaml": AUTOMATIONS,
      "smoke/release.js": "",
      "src/bin/runner.ts": "",
      "src/bin/gateway.ts": "",
      "tools/build.ts": TOOL
    })
    const head = Effect.map(git("ls-remote", "rehearsal", "main"), ({ out }) => out.split("\t")[0])
    return { git, commit, head }
  })

describe("git push", () => {
  it.scopedLive(
    "makes a release that walks, and refuses a bad commit with the reason",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const { git, commit, head } = yield* repository(server)
        const push = git("push", "rehearsal", "main")

        const good = yield* commit({ mood: "good\n" })
        const pushed = yield* push
        expect(pushed.out).toSatisfy(() => pushed.code === 0)
        expect(pushed.out).toMatch(/remote: lint +passed/)
        expect(pushed.out).toMatch(/remote: push +nothing to do: images stay on this machine/)
        expect(yield* head).toBe(good)
        const release = `r-${good.slice(0, 8)}`
        const rollout = `${PIPELINE}/releases/${release}/rollouts/${release}-to-dev-0001`
        yield* awaitState(server, rollout, ["SUCCEEDED"])
        expect(server.effects()).toContain(`smoke ${release} dev stable`)

        // The files' automations and policies came along, in the API's form, and are at work.
        expect(pushed.out).toMatch(/remote: applied Automation tiny\/promote-dev/)
        const automation = yield* server.call("GET", `v1/${PIPELINE}/automations/promote-dev`)
        expect(automation.body["rules"]).toEqual([{ promoteReleaseRule: { id: "promote-dev", wait: "60s" } }])
        const policy = yield* server.call("GET", `v1/${PARENT}/deployPolicies/never-ignore`)
        expect(policy.body["rules"]).toMatchObject([
          { rolloutRestriction: { timeWindows: { weeklyWindows: [{ endTime: { hours: 24, minutes: 0 } }] } } }
        ])
        const promoted = yield* server.call("GET", `v1/${PIPELINE}/automationRuns`).pipe(
          Effect.map(({ body }) => (body["automationRuns"] ?? []) as ReadonlyArray<{ readonly state: string }>),
          Effect.filterOrFail(([run]) => run?.state === "SUCCEEDED"),
          Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("30 seconds")))
        )
        expect(promoted).toMatchObject([{ automationId: "promote-dev", targetId: "dev" }])
        const rollouts = yield* server.call("GET", `v1/${PIPELINE}/releases/${release}/rollouts`)
        expect(rollouts.body["rollouts"]).toMatchObject([
          { targetId: "dev" },
          { targetId: "prod", state: "PENDING_APPROVAL" }
        ])

        yield* commit({ mood: "bad\n" })
        const failed = yield* push
        expect(failed.code).not.toBe(0)
        expect(failed.out).toContain('REFUSED at step "lint"')
        expect(yield* head, "main stays").toBe(good)

        yield* commit({ mood: "good again\n", "cloudbuild.yaml": BUILD.replace("{id: lint", "{id: polish") })
        const unknown = yield* push
        expect(unknown.code).not.toBe(0)
        expect(unknown.out).toContain('Step "polish" of cloudbuild.yaml has no meaning on this machine')

        const aside = yield* git("push", "rehearsal", "main:aside")
        expect(aside.out).toContain("A release is made of main alone")
        const releases = yield* server.call("GET", `v1/${PIPELINE}/releases`)
        expect((releases.body["releases"] as ReadonlyArray<unknown>).length).toBe(1)
      }),
    { timeout: 240_000 }
  )
})
