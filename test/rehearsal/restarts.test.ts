/**
 * A rollout whose server is killed at any of its deeds ends as if nothing had happened. `make test-restarts` kills a hundred times.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { random } from "../support/random.ts"
import { GOOD, make, PIPELINE, prepare, type TestServer } from "../support/rehearsal-server.ts"

const RESTARTS = Number(process.env["RESTARTS"] ?? 6)
const SEED = Number(process.env["SEED"] ?? 1)

const HOOKS = ["before", "smoke", "after"]
const phases = (target: string, names: ReadonlyArray<string>, release: string) =>
  names.flatMap((phase) => HOOKS.map((hook) => `${hook} ${release} ${target} ${phase}`))

/** A kill comes after one to so many deeds. A round of two rollouts has about six times as many. */
const DEEDS = 60

/** Waits for what a server that is killed under it will say in the end. */
const PATIENCE = Schedule.spaced("20 millis").pipe(Schedule.upTo("90 seconds"))

interface Answer {
  readonly status: number
  readonly body: Record<string, unknown>
}

/** The server as somebody uses it who sees it die and start again. */
const mortal = (server: TestServer) => {
  const next = random(SEED)
  const kill = () => ({ at: 1 + Math.floor(next() * DEEDS), before: next() < 0.5 })
  let kills = 0
  let willDie = false
  const rise = Effect.suspend(() => {
    if (server.alive()) return Effect.void
    if (!willDie) return Effect.dieMessage("The server ended, and nobody had killed it.")
    kills++
    willDie = kills < RESTARTS
    // It may die before it is ready: the next one counts it.
    return willDie ? Effect.ignore(server.startToDie(kill())) : Effect.orDie(server.start)
  }).pipe(Effect.repeat({ until: () => server.alive() }))
  const order = (at: { readonly at: number; readonly before: boolean }) =>
    Effect.zipRight(
      server.order(at),
      Effect.sync(() => (willDie = at.at > 0 || !server.alive()))
    )
  return {
    kills: () => kills,
    begin: Effect.suspend(() => (kills < RESTARTS ? order(kill()) : Effect.void)),
    /** From here on it lives. */
    spare: rise.pipe(Effect.zipRight(order({ at: 0, before: true })), Effect.zipRight(rise)),
    /** Asks again until the answer is one that settles it. */
    ask: (settled: (answer: Answer) => boolean, method: string, path: string, body?: unknown) =>
      rise.pipe(
        Effect.zipRight(server.call(method, path, body)),
        Effect.catchAllDefect(() => Effect.succeed<Answer>({ status: 0, body: {} })),
        Effect.filterOrFail(settled, (answer) => new Error(`${method} ${path}: ${JSON.stringify(answer)}`)),
        Effect.retry(PATIENCE),
        Effect.orDie
      )
  }
}

const made = ({ status }: Answer) => status === 200 || status === 409
const stateOf = ({ body }: Answer) => String(body["state"])
const ended = (answer: Answer) => ["SUCCEEDED", "FAILED"].includes(stateOf(answer))
const phaseOf = ({ body }: Answer, id: string) =>
  ((body["phases"] ?? []) as ReadonlyArray<{ readonly id: string; readonly state: string }>).find(
    (phase) => phase.id === id
  )?.state

describe("the server, killed", () => {
  it.scopedLive(
    `${RESTARTS} times by SIGKILL during rollouts to dev and prod: they end right, each hook's effect happened once (seed ${SEED})`,
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 20 })
        yield* server.start
        const { ask, begin, spare, kills } = mortal(server)
        const expected: Array<string> = []
        for (let round = 1; kills() < RESTARTS; round++) {
          const release = `r-n${round}`
          expect((yield* prepare(server, `n${round}`, GOOD)).status).toBe(200)
          const rollouts = `v1/${PIPELINE}/releases/${release}/rollouts`
          const create = (targetId: string) => ask(made, "POST", `${rollouts}?rolloutId=to-${targetId}`, { targetId })
          yield* begin
          yield* create("dev")
          yield* create("prod")
          const approved = ({ status }: Answer) => status === 200 || status === 400
          yield* ask(approved, "POST", `${rollouts}/to-prod:approve`, { approved: true })
          if (round > 1) {
            yield* ask((answer) => phaseOf(answer, "one") === "SUCCEEDED", "GET", `${rollouts}/to-prod`)
            yield* ask(approved, "POST", `${rollouts}/to-prod:advance`, { phaseId: "stable" })
          }
          const dev = yield* ask(ended, "GET", `${rollouts}/to-dev`)
          const prod = yield* ask(ended, "GET", `${rollouts}/to-prod`)
          yield* spare
          expect([stateOf(dev), stateOf(prod)]).toEqual(["SUCCEEDED", "SUCCEEDED"])
          expected.push(...phases("dev", ["stable"], release))
          // The first rollout to a target has no canary.
          expected.push(...phases("prod", round === 1 ? ["stable"] : ["one", "stable"], release))
          expect(server.effects()).toEqual([...expected].sort())
          const runs = yield* server.call("GET", `${rollouts}/to-prod/jobRuns`)
          expect(runs.body["jobRuns"]).toHaveLength(round === 1 ? 4 : 8)
        }
        expect(kills()).toBe(RESTARTS)
        process.stdout.write(`killed ${kills()} times, seed ${SEED}\n`)
      }),
    { timeout: 180_000 + RESTARTS * 20_000 }
  )
})
