/** What a release no longer has is gone from its target once its rollout has ended well, and not before. */
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import * as HostClient from "../../src/rehearsal/host/HostClient.ts"
import { awaitState, GOOD, make, PIPELINE, prepare, type TestServer } from "../support/rehearsal-server.ts"

/** A Service that answers to nobody's pods, under the name that this release gives it. */
const withService = (server: TestServer, name: string) =>
  Effect.promise(async () => {
    const k8s = join(server.source, "k8s")
    await writeFile(
      join(k8s, "service.yaml"),
      `apiVersion: v1\nkind: Service\nmetadata: {name: ${name}, namespace: agents}\nspec: {selector: {app: none}, ports: [{name: http, port: 80}]}\n`
    )
    await writeFile(join(k8s, "kustomization.yaml"), "resources: [map.yaml, service.yaml]\n")
  })

describe("pruning", () => {
  it.scopedLive(
    "removes what a release removed after the last phase, says so in the log, and brings it back with a rollback",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const to = (release: string, target: string) => `${PIPELINE}/releases/${release}/rollouts/to-${target}`
        const begin = (release: string, target: string) =>
          server.call("POST", `v1/${PIPELINE}/releases/${release}/rollouts?rolloutId=to-${target}`, {
            targetId: target
          })
        const approve = (name: string) => server.call("POST", `v1/${name}:approve`, { approved: true })
        const walk = (release: string) =>
          Effect.gen(function* () {
            yield* begin(release, "prod")
            yield* approve(to(release, "prod"))
          })
        const folder = join(server.folder, "cache", "serve", "host")
        const host = (yield* HostClient.find(folder))!
        const service = (name: string) =>
          host.call("service", { target: "prod", service: name, port: "http" }).pipe(
            Effect.as("there"),
            Effect.catchAll(({ message }) => Effect.succeed(message))
          )
        /** What a host that starts anew would apply again. */
        const kept = () =>
          (
            JSON.parse(readFileSync(join(folder, "targets", "prod.json"), "utf8")) as ReadonlyArray<{
              kind: string
              metadata: { name: string }
            }>
          )
            .filter(({ kind }) => kind === "Service")
            .map(({ metadata }) => metadata.name)

        yield* withService(server, "old")
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        yield* walk("r-1")
        yield* awaitState(server, to("r-1", "prod"), ["SUCCEEDED"])
        expect(yield* service("old")).toBe("there")

        yield* withService(server, "new")
        expect(yield* prepare(server, "2", GOOD)).toMatchObject({ status: 200 })
        yield* walk("r-2")
        const advance = server.call("POST", `v1/${to("r-2", "prod")}:advance`, { phaseId: "stable" })
        // Between its phases both are there: it may still be left by going back to r-1.
        const between = yield* server.call("GET", `v1/${to("r-2", "prod")}`).pipe(
          Effect.map(({ body }) => (body["phases"] as ReadonlyArray<{ readonly state: string }>)[0]?.state),
          Effect.filterOrFail((state) => state === "SUCCEEDED"),
          Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("1 minute")))
        )
        expect(between).toBe("SUCCEEDED")
        expect([yield* service("old"), yield* service("new")]).toEqual(["there", "there"])
        expect((yield* advance).status).toBe(200)
        yield* awaitState(server, to("r-2", "prod"), ["SUCCEEDED"])
        expect(yield* service("new")).toBe("there")
        expect(yield* service("old")).toContain("old")
        expect(kept()).toEqual(["new"])

        const runs = yield* server.call("GET", `v1/${to("r-2", "prod")}/jobRuns`)
        const last = (runs.body["jobRuns"] as ReadonlyArray<{ readonly name: string }>).at(-1)!
        const log = yield* server.call("GET", `console/log?jobRun=${encodeURIComponent(last.name)}`)
        expect(log.body["lines"]).toContain("pruned Service/old")

        const back = { targetId: "prod", rolloutId: "back", releaseId: "r-1" }
        expect((yield* server.call("POST", `v1/${PIPELINE}:rollbackTarget`, back)).status).toBe(200)
        const rollback = `${PIPELINE}/releases/r-1/rollouts/back`
        yield* approve(rollback)
        yield* awaitState(server, rollback, ["SUCCEEDED"])
        expect(yield* service("old")).toBe("there")
        expect(kept()).toEqual(["old"])
      }),
    { timeout: 240_000 }
  )
})
