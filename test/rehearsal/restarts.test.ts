/** A rollout whose server is killed at random points ends as if nothing had happened. RESTARTS=100 is `make test-restarts`. */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { awaitState, GOOD, make, PIPELINE, prepare } from "../support/rehearsal-server.ts"

const RESTARTS = Number(process.env["RESTARTS"] ?? 3)
const SEED = Number(process.env["SEED"] ?? Date.now() % 100_000)

/** mulberry32: the same seed kills at the same moments. */
const random = (seed: number) => () => {
  seed = (seed + 0x6d2b79f5) | 0
  let t = Math.imul(seed ^ (seed >>> 15), 1 | seed)
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296
}

const phases = (target: string, names: ReadonlyArray<string>, release: string) =>
  names.flatMap((phase) => ["before", "smoke", "after"].map((hook) => `${hook} ${release} ${target} ${phase}`))

describe("the server, killed", () => {
  it.scopedLive(
    `${RESTARTS} times by SIGKILL during rollouts to dev and prod: they end right, each hook's effect happened once (seed ${SEED})`,
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 150 })
        yield* server.start
        const next = random(SEED)
        let kills = 0
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
          // The moment is the point of the test: not a wait for something, but a place where it may hurt.
          for (let i = 0; i < 4 && kills < RESTARTS; i++) {
            yield* Effect.sleep(Math.floor(next() * 900))
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
      }),
    { timeout: 180_000 + RESTARTS * 30_000 }
  )
})
