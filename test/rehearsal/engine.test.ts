/** What a rollout may meet besides success, through the API: others before it, suspension, policies, repair, an end before its time. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { awaitState, BAD, GOOD, make, PARENT, PIPELINE, prepare, type TestServer } from "../support/rehearsal-server.ts"

const OVER = ["SUCCEEDED", "FAILED", "CANCELLED"]

/** The server's methods by the names that people give them. */
const of = (server: TestServer) => {
  const rolloutOf = (release: string, id: string) => `${PIPELINE}/releases/${release}/rollouts/${id}`
  return {
    rolloutOf,
    begin: (release: string, id: string, targetId = "dev") =>
      server.call("POST", `v1/${PIPELINE}/releases/${release}/rollouts?rolloutId=${id}`, { targetId }),
    over: (release: string, id: string) => awaitState(server, rolloutOf(release, id), OVER),
    order: (name: string, verb: string, body: object = {}) => server.call("POST", `v1/${name}:${verb}`, body),
    patch: (path: string, body: object) => server.call("PATCH", `v1/${path}?allowMissing=true&updateMask=*`, body),
    rollouts: Effect.map(
      server.call("GET", `v1/${PIPELINE}/releases/-/rollouts`),
      ({ body }) => body["rollouts"] as ReadonlyArray<{ readonly name: string; readonly state: string }>
    ),
    /** In the order in which it happened. */
    happened: () => readFileSync(join(server.folder, "effects"), "utf8").split("\n").filter(Boolean)
  }
}

const refusal = (message: RegExp) => ({
  status: 400,
  body: { error: { status: "FAILED_PRECONDITION", message: expect.stringMatching(message) } }
})
/** Asks until it is so. */
const until = <A>(ask: Effect.Effect<A>, is: (found: A) => boolean) =>
  ask.pipe(
    Effect.filterOrFail(is, (found) => new Error(JSON.stringify(found))),
    Effect.retry(Schedule.spaced("30 millis").pipe(Schedule.upTo("1 minute"))),
    Effect.orDie
  )

const policy = (actions: ReadonlyArray<string>) => ({
  selectors: [{ target: { id: "*" } }],
  rules: [
    {
      rolloutRestriction: {
        id: "never",
        actions,
        timeWindows: {
          timeZone: "Pacific/Auckland",
          weeklyWindows: [{ startTime: { hours: 0 }, endTime: { hours: 24 } }]
        }
      }
    }
  ]
})

describe("the engine", () => {
  it.scopedLive(
    "lets rollouts to one target come one after the other, in the order of their creation, each by its release's snapshots",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 30 })
        yield* server.start
        const { begin, over, happened, patch } = of(server)
        for (const name of ["1", "2", "3"]) expect(yield* prepare(server, name, GOOD)).toMatchObject({ status: 200 })
        // The releases have what the pipeline was when they were made.
        const stages = [{ targetId: "dev", profiles: ["all"] }]
        expect(yield* patch(PIPELINE, { serialPipeline: { stages } })).toMatchObject({ status: 200 })
        for (const name of ["r-1", "r-2", "r-3"]) expect(yield* begin(name, "to-dev")).toMatchObject({ status: 200 })
        for (const name of ["r-3", "r-2", "r-1"]) {
          expect((yield* over(name, "to-dev")).body["state"]).toBe("SUCCEEDED")
        }
        expect(happened()).toEqual(
          ["r-1", "r-2", "r-3"].flatMap((name) =>
            ["before", "smoke", "after"].map((hook) => `${hook} ${name} dev stable`)
          )
        )
      }),
    { timeout: 240_000 }
  )

  it.scopedLive(
    "makes nothing of a suspended pipeline or an abandoned release, obeys policies unless they are named, and goes on without an ignored job",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const { begin, over, order, patch, rolloutOf, happened } = of(server)
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        const { body: pipeline } = yield* server.call("GET", `v1/${PIPELINE}`)
        yield* patch(PIPELINE, { ...pipeline, suspended: true })
        expect(yield* begin("r-1", "to-dev")).toMatchObject(refusal(/"tiny" is suspended/))
        const release = { skaffoldConfigUri: "gs://sources/1.tgz" }
        expect(yield* server.call("POST", `v1/${PIPELINE}/releases?releaseId=r-9`, release)).toMatchObject(
          refusal(/"tiny" is suspended/)
        )
        // Of what a mask names, and nothing else: the stages stay.
        yield* server.call("PATCH", `v1/${PIPELINE}?updateMask=suspended`, {})
        const cluster = `${PARENT}/clusters/other`
        yield* server.call("PATCH", `v1/${PARENT}/targets/dev?updateMask=gke.cluster`, { gke: { cluster } })
        yield* server.call("PATCH", `v1/${PARENT}/targets/dev?updateMask=gke.internalIp`, { gke: { internalIp: true } })
        expect((yield* server.call("GET", `v1/${PARENT}/targets/dev`)).body["gke"]).toEqual({
          cluster,
          internalIp: true
        })

        yield* order(`${PIPELINE}/releases/r-1`, "abandon")
        expect(yield* begin("r-1", "to-dev")).toMatchObject(refusal(/"r-1" is abandoned/))

        expect(yield* prepare(server, "2", BAD)).toMatchObject({ status: 200 })
        yield* begin("r-2", "to-dev")
        expect((yield* over("r-2", "to-dev")).body).toMatchObject({
          state: "FAILED",
          deployFailureCause: "VERIFICATION_FAILED"
        })
        const ignore = (more: object = {}) =>
          order(rolloutOf("r-2", "to-dev"), "ignoreJob", { phaseId: "stable", jobId: "verify", ...more })
        yield* patch(`${PARENT}/deployPolicies/hands-off`, policy(["IGNORE_JOB"]))
        expect(yield* ignore()).toMatchObject(refusal(/"hands-off" \(rule "never"\) does not let USER do IGNORE_JOB/))
        expect(happened()).not.toContain("after r-2 dev stable")
        expect(yield* ignore({ overrideDeployPolicy: [`${PARENT}/deployPolicies/hands-off`] })).toMatchObject({
          status: 200
        })
        yield* awaitState(server, rolloutOf("r-2", "to-dev"), ["SUCCEEDED"])
        expect(happened()).toContain("after r-2 dev stable")
      }),
    { timeout: 240_000 }
  )

  it.scopedLive(
    "advances by itself, repairs a failure by a retry and then by going back, and tells what each automation did",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const { begin, over, order, patch, rolloutOf, rollouts, happened } = of(server)
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        const automation = (target: string, rule: object) => ({
          serviceAccount: "automation@rehearsal.iam.gserviceaccount.com",
          selector: { targets: [{ id: target }] },
          rules: [rule]
        })
        const advance = { advanceRolloutRule: { id: "on", sourcePhases: ["one"], wait: "60s" } }
        const repair = {
          repairRolloutRule: {
            id: "mend",
            jobs: ["verify"],
            repairPhases: [{ retry: { attempts: "1", wait: "60s" } }, { rollback: { destinationPhase: "stable" } }]
          }
        }
        yield* patch(`${PIPELINE}/automations/on`, automation("prod", advance))
        yield* patch(`${PIPELINE}/automations/mend`, automation("dev", repair))

        yield* begin("r-1", "to-dev")
        expect((yield* over("r-1", "to-dev")).body["state"]).toBe("SUCCEEDED")
        yield* begin("r-1", "to-prod", "prod")
        yield* order(rolloutOf("r-1", "to-prod"), "approve", { approved: true })
        expect((yield* over("r-1", "to-prod")).body["state"]).toBe("SUCCEEDED")
        // The second one stops between its phases: nobody but the automation advances it.
        yield* begin("r-1", "again", "prod")
        yield* order(rolloutOf("r-1", "again"), "approve", { approved: true })
        expect((yield* over("r-1", "again")).body["state"]).toBe("SUCCEEDED")

        expect(yield* prepare(server, "2", BAD)).toMatchObject({ status: 200 })
        yield* begin("r-2", "to-dev")
        const back = yield* until(rollouts, (all) => all.some(({ name }) => name.includes("/rollouts/rollback-")))
        const name = back.find((one) => one.name.includes("/rollouts/rollback-"))!.name
        expect(name).toContain("/releases/r-1/")
        yield* awaitState(server, name, ["SUCCEEDED"])
        expect(happened().filter((effect) => effect === "smoke r-2 dev stable")).toHaveLength(2)
        const runs = yield* server.call("GET", `v1/${PIPELINE}/automationRuns`)
        expect(runs.body["automationRuns"]).toMatchObject([
          { automationId: "on", state: "SUCCEEDED" },
          { automationId: "mend", state: "SUCCEEDED" },
          { automationId: "mend", state: "SUCCEEDED" }
        ])
      }),
    { timeout: 240_000 }
  )

  it.scopedLive(
    "ends a hook that takes too long for a person: by cancelling its rollout, by terminating its run, and by rejecting before it begins",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 600_000 })
        yield* server.start
        const { begin, over, order, rolloutOf, happened } = of(server)
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        const running = (id: string) =>
          until(
            Effect.map(
              server.call("GET", `v1/${rolloutOf("r-1", id)}/jobRuns`),
              ({ body }) => (body["jobRuns"] ?? []) as ReadonlyArray<{ readonly name: string; readonly state: string }>
            ),
            ([run]) => run?.state === "IN_PROGRESS"
          )
        yield* begin("r-1", "one")
        yield* running("one")
        expect(yield* order(rolloutOf("r-1", "one"), "cancel")).toMatchObject({ status: 200 })
        expect((yield* over("r-1", "one")).body["state"]).toBe("CANCELLED")

        yield* begin("r-1", "two")
        const [run] = yield* running("two")
        expect(yield* order(run!.name, "terminate")).toMatchObject({ status: 200 })
        expect((yield* over("r-1", "two")).body["state"]).toBe("FAILED")

        yield* begin("r-1", "three", "prod")
        yield* order(rolloutOf("r-1", "three"), "approve", { approved: false })
        expect(yield* server.call("GET", `v1/${rolloutOf("r-1", "three")}`)).toMatchObject({
          body: { state: "APPROVAL_REJECTED", approvalState: "REJECTED" }
        })
        expect(yield* order(rolloutOf("r-1", "three"), "approve", { approved: true })).toMatchObject(
          refusal(/APPROVAL_REJECTED/)
        )
        expect(happened()).toEqual([])
      }),
    { timeout: 240_000 }
  )
})
