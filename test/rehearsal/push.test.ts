/** A real `git push` to the rehearsal's server: checks, a release that walks, and refusals that leave main where it was. */
import { execFile } from "node:child_process"
import { cp, mkdir, readFile, symlink, writeFile } from "node:fs/promises"
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
    const read = (name: string) => Effect.promise(() => readFile(join(folder, name), "utf8"))
    const head = Effect.map(git("ls-remote", "rehearsal", "main"), ({ out }) => out.split("\t")[0])
    return { git, commit, read, head }
  })

describe("git push", () => {
  it.scopedLive(
    "makes a release that walks, and refuses a bad commit with the reason",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const { git, commit, read, head } = yield* repository(server)
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
        // The gates before main moved, the rest after.
        expect(pushed.out).toMatch(/remote: dev +predeploy SUCCEEDED[\s\S]*remote: release +\S+, on its way/)
        expect(pushed.out).toMatch(/remote: dev +postdeploy SUCCEEDED[\s\S]*-to-dev-0001: SUCCEEDED\./)

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

        // What the gates of the first target refuse, the push refuses, with their words. Pushed again it is asked again.
        const hook = yield* read("hook.mjs")
        const stranded =
          "appendFileSync(process.env.EFFECTS, 'asked\\n'); console.log('REFUSED: Charge is open'); process.exit(10)"
        yield* commit({ "cloudbuild.yaml": BUILD, "hook.mjs": hook.replace("console.log", `${stranded}\nconsole.log`) })
        for (const number of ["0001", "0002"]) {
          const gate = yield* push
          expect(gate.code).not.toBe(0)
          expect(gate.out).toMatch(/remote: dev +predeploy FAILED/)
          expect(gate.out).toContain("remote: REFUSED: Charge is open")
          expect(gate.out).toMatch(new RegExp(`-to-dev-${number}: predeploy of phase stable failed`))
          expect(gate.out).toContain('REFUSED at step "release"')
          expect(yield* head, "main stays").toBe(good)
        }
        expect(server.effects().filter((effect) => effect === "asked")).toHaveLength(2)

        const aside = yield* git("push", "rehearsal", "main:aside")
        expect(aside.out).toContain("A release is made of main alone")
        const releases = yield* server.call("GET", `v1/${PIPELINE}/releases`)
        expect((releases.body["releases"] as ReadonlyArray<unknown>).length).toBe(2)

        // Nothing that can stand in a push is more than a refusal with a reason, and nothing comes of it.
        yield* commit({ "hook.mjs": hook })
        const bad: ReadonlyArray<readonly [what: string, files: Readonly<Record<string, string>>]> = [
          ["no YAML", { "cloudbuild.yaml": "steps: [\t{" }],
          ["bytes", { "cloudbuild.yaml": "\0\u0001\ufffd" }],
          ["a list", { "cloudbuild.yaml": "- 1\n- 2\n" }],
          ["nothing", { "cloudbuild.yaml": "" }],
          ["steps that are none", { "cloudbuild.yaml": "steps: null\n" }],
          [
            "names that name names",
            {
              "cloudbuild.yaml": `a: &a [x]\n${"bcdefghij".replace(/./g, (n, i) => `${n}: &${n} [${`*${"abcdefghi"[i]},`.repeat(9)}]\n`)}`
            }
          ],
          ["a pipeline elsewhere", { "cloudbuild.yaml": BUILD.replace("tiny", "../../targets/dev") }],
          [
            "a check that runs something else",
            { "cloudbuild.yaml": BUILD.replace("args: [make, lint]", "script: id") }
          ],
          [
            "delivery files that are none",
            { "cloudbuild.yaml": BUILD.replace("tiny", "other"), "clouddeploy/pipeline.yaml": "kind: [" }
          ]
        ]
        for (const [what, files] of bad) {
          yield* commit(files)
          const { code, out } = yield* push
          expect({ what, out, failed: code !== 0 }).toMatchObject({
            failed: true,
            out: expect.stringContaining("remote: ")
          })
          expect({ what, out }).toMatchObject({ out: expect.not.stringMatching(/\n(remote:)?\s+at .*:\d+:\d+/) })
        }
        yield* git("rm", "--quiet", "cloudbuild.yaml")
        yield* Effect.promise(() => symlink("/etc/hostname", join(server.folder, "repository", "cloudbuild.yaml")))
        yield* commit({})
        expect((yield* push).out).toContain("no file cloudbuild.yaml")
        for (const refs of [[":main"], ["main:main", "main:other"], ["HEAD:refs/tags/v1"]]) {
          expect((yield* git("push", "rehearsal", ...refs)).out).toMatch(/main alone|can't be deleted/)
        }
        yield* server.kill
        expect((yield* push).out).toContain("does not answer")
        expect(yield* head, "main stays").toBe(good)
      }),
    { timeout: 240_000 }
  )
})
