/** A schedule promotes what a target runs, once, also across a kill of the server. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { awaitState, GOOD, make, PARENT, PIPELINE, prepare } from "../support/rehearsal-server.ts"

const rule = { id: "each-minute", schedule: "* * * * *", timeZone: "Europe/Berlin" }
const automation = (more: object) => ({
  serviceAccount: "automation@rehearsal.iam.gserviceaccount.com",
  selector: { targets: [{ id: "dev" }] },
  rules: [{ timedPromoteReleaseRule: { ...rule, ...more } }]
})
const path = `v1/${PIPELINE}/automations/timed?allowMissing=true&updateMask=*`

describe("timedPromoteReleaseRule", () => {
  it.scopedLive(
    "promotes by the server's scaled clock, once, and refuses what it could not carry out",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        for (const bad of [{ timeZone: "Europe/Berlim" }, { schedule: "61 * * * *" }]) {
          expect(yield* server.call("PATCH", path, automation(bad))).toMatchObject({ status: 400 })
        }
        const window = { timeWindows: { timeZone: "Mars/Olympus", weeklyWindows: [{}] } }
        const policy = { rules: [{ rolloutRestriction: { id: "never", ...window } }] }
        const refused = yield* server.call("PATCH", `v1/${PARENT}/deployPolicies/x?allowMissing=true`, policy)
        expect(refused).toMatchObject({ status: 400, body: { error: { message: expect.stringContaining("Mars") } } })

        const releases = `v1/${PIPELINE}/releases/r-1/rollouts`
        yield* server.call("POST", `${releases}?rolloutId=to-dev`, { targetId: "dev" })
        yield* awaitState(server, `${PIPELINE}/releases/r-1/rollouts/to-dev`, ["SUCCEEDED"])
        // Its minute is a second of this server.
        expect(yield* server.call("PATCH", path, automation({}))).toMatchObject({ status: 200 })
        yield* server.kill
        yield* server.start
        const rollouts = Effect.map(
          server.call("GET", releases),
          ({ body }) => body["rollouts"] as ReadonlyArray<{ readonly targetId: string; readonly name: string }>
        )
        const promoted = yield* rollouts.pipe(
          Effect.filterOrFail((all) => all.length > 1),
          Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("30 seconds")))
        )
        expect(promoted.map(({ targetId }) => targetId)).toEqual(["dev", "prod"])
        const name = promoted[1]!.name
        yield* server.call("POST", `v1/${name}:approve`, { approved: true })
        // Minutes of the schedule pass while it walks, and find nothing more to do.
        yield* awaitState(server, name, ["SUCCEEDED"])
        expect((yield* rollouts).length).toBe(2)
      }),
    { timeout: 240_000 }
  )
})
