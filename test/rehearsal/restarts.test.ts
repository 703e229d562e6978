/** A rollout whose server is killed after any number of its changes ends as if nothing had happened. RESTARTS=100 is `make test-restarts`. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { awaitState, GOOD, make, PIPELINE, prepare, type TestServer } from "../support/rehearsal-server.ts"

const RESTARTS = Number(process.env["RESTARTS"] ?? 3)
const SEED = Number(process.env["SEED"] ?? Date.now() % 100_000)

/** mulberry32: the same seed kills after the same changes. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const phases = (target: string, names: ReadonlyArray<string>, release: string) =>
  names.flatMap((phase) => ["before", "smoke", "after"].map((hook) => `${hook} ${release} ${target} ${phase}`))

/** How often a rollout to both targets changes what it says of itself, roughly: at most so many are waited for. */
const CHANGES = 12

/**
 * Until the rollouts have changed what they say of themselves so many times, or come to rest: ended, or waiting for somebody
 * to advance them. A change is told when it is stored, so the kill that follows meets what comes next.
 */
const changes = (server: TestServer, rollouts: ReadonlyArray<string>, count: number) =>
  Effect.gen(function* () {
    const said = new Map<string, string>()
    let seen = 0
    const look = Effect.forEach(rollouts, (name) =>
      Effect.map(server.call("GET", `v1/${name}`), ({ body }) => {
        const text = JSON.stringify(body)
        if (said.has(name) && said.get(name) !== text) seen++
        said.set(name, text)
        const phases = (body["phases"] ?? []) as ReadonlyArray<{ readonly state?: string }>
        const between = phases.length > 1 && phases[0]?.state === "SUCCEEDED" && phases[1]?.state === "PENDING"
        return between || ["SUCCEEDED", "FAILED"].includes(String(body["state"]))
      })
    )
    yield* look.pipe(
      Effect.filterOrFail((atRest) => seen >= count || atRest.every((one) => one)),
      Effect.retry(Schedule.spaced("10 millis").pipe(Schedule.upTo("1 minute"))),
      Effect.orDie
    )
    return seen
  })

describe("the server, killed", () => {
  it.scopedLive(
    `${RESTARTS} times by SIGKILL during rollouts to dev and prod: they end right, each hook's effect happened once (seed ${SEED})`,
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 150 })
        yield* server.start
        const next = random(SEED)
        let kills = 0
        let met = 0
        let round = 0
        const expected: Array<string> = []
        while (kills < RESTARTS) {
          round++
          const name = `n${round}`
          const release = `r-${name}`
          expect((yield* prepare(server, name, GOOD)).status).toBe(200)
          const rollout = (id: string) => `${PIPELINE}/releases/${release}/rollouts/${id}`
          const create = (id: string, targetId: string) =>
            server.call("POST", `v1/${PIPELINE}/releases/${release}/rollouts?rolloutId=${id}`, { targetId })
          expect(yield* create("to-dev", "dev")).toMatchObject({ status: 200 })
          expect(yield* create("to-prod", "prod")).toMatchObject({ status: 200 })
          expect((yield* server.call("POST", `v1/${rollout("to-prod")}:approve`, { approved: true })).status).toBe(200)
          for (let i = 0; i < 4 && kills < RESTARTS; i++) {
            met += yield* changes(server, [rollout("to-dev"), rollout("to-prod")], 1 + Math.floor(next() * CHANGES))
            yield* server.kill
            kills++
            yield* server.start
          }
          yield* awaitState(server, rollout("to-dev"), ["SUCCEEDED", "FAILED"])
          if (round > 1) {
            yield* awaitState(server, rollout("to-prod"), ["IN_PROGRESS"])
            const advance = server.call("POST", `v1/${rollout("to-prod")}:advance`, { phaseId: "stable" })
            yield* advance.pipe(
              Effect.filterOrFail(({ status }) => status === 200),
              Effect.retry(Schedule.spaced("50 millis").pipe(Schedule.upTo("60 seconds")))
            )
          }
          const dev = yield* awaitState(server, rollout("to-dev"), ["SUCCEEDED", "FAILED"])
          const prod = yield* awaitState(server, rollout("to-prod"), ["SUCCEEDED", "FAILED"])
          expect([dev.body["state"], prod.body["state"]]).toEqual(["SUCCEEDED", "SUCCEEDED"])
          expected.push(...phases("dev", ["stable"], release))
          expected.push(...phases("prod", round === 1 ? ["stable"] : ["one", "stable"], release))
          expect(server.effects()).toEqual([...expected].sort())
        }
        expect(kills).toBe(RESTARTS)
        // Had they never changed between two kills, the kills would have met a rollout that stands still.
        expect(met).toBeGreaterThan(0)
      }),
    { timeout: 180_000 + RESTARTS * 30_000 }
  )
})
