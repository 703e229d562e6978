import { expect, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, TestClock } from "effect"
import { migratedDatabase } from "../../test/support/migrated-database.ts"
import { RunId, TenantId } from "../domain/Ids.ts"
import { Problem } from "../domain/Problem.ts"
import * as Database from "../runtime/Database.ts"
import { databaseFromUrl } from "../runtime/Settings.ts"
import { type AdmissionLimits, addressKey, clientAddress, make } from "./Admission.ts"
import * as Live from "./Live.ts"
import { Load, StorageUnavailable, type TenantAllowance } from "./Ports.ts"

const wide = { perSecond: 1_000, burst: 1_000 }
const limits: AdmissionLimits = {
  address: wide,
  user: wide,
  tenant: wide,
  openRuns: 3,
  queueDepth: 100,
  tokensPerDay: undefined
}
const acme = { tenantId: TenantId.make("acme"), subject: "ann" }
const other = { tenantId: TenantId.make("other"), subject: "bob" }
const run = (name: string | number) => RunId.make(`r${name}`)

/** Runs as Postgres would count them, after a while. */
const world = () => {
  const state = {
    open: new Set<string>(),
    known: new Set<string>(),
    working: 0,
    allowance: { tokensToday: 0 } as TenantAllowance,
    down: false,
    reads: 0
  }
  const answer = <A>(read: () => A) =>
    Effect.gen(function* () {
      state.reads += 1
      // Answers come in another order than the questions.
      yield* Effect.repeatN(Effect.yieldNow(), (state.reads * 7) % 5)
      return state.down ? yield* new StorageUnavailable({ cause: "down" }) : read()
    })
  const load = Load.of({
    allowance: () => answer(() => state.allowance),
    tenant: (_tenant, runId, starting, atMost) =>
      answer(() => ({
        open: Math.min(atMost, [...state.open].filter((id) => !starting.some((each) => each === id)).length),
        known: state.known.has(runId)
      })),
    working: () => answer(() => state.working)
  })
  return { state, load }
}

const outcome = <A>(exit: Exit.Exit<A, unknown>) =>
  Exit.match(exit, {
    onSuccess: () => "ok",
    onFailure: (cause) => (cause._tag === "Fail" && cause.error instanceof Problem ? cause.error.code : String(cause))
  })

it.effect("lets no more starts in than a tenant may have open, however many come at once, and wastes no place", () =>
  Effect.gen(function* () {
    const { state, load } = world()
    const admission = yield* make(limits).pipe(Effect.provideService(Load, load))
    const held = yield* Deferred.make<void>()
    const start = (id: number) =>
      admission.start(
        acme,
        run(id),
        Effect.zipRight(
          held,
          Effect.sync(() => state.open.add(run(id)))
        )
      )
    const fibers = yield* Effect.forEach([...Array(20).keys()], (id) => Effect.fork(Effect.exit(start(id))))
    yield* Effect.repeatN(Effect.yieldNow(), 200)
    // Another tenant is not held up.
    expect(outcome(yield* Effect.exit(admission.start(other, run("x"), Effect.void)))).toBe("ok")
    yield* Deferred.succeed(held, undefined)
    const outcomes = (yield* Fiber.join(Fiber.all(fibers))).map(outcome)
    expect(outcomes.filter((each) => each === "ok")).toHaveLength(3)
    expect(outcomes.filter((each) => each === "too-many-open-runs")).toHaveLength(17)
    expect(state.open.size).toBe(3)
    // A place that becomes free is given again.
    state.open.delete([...state.open][0] ?? "")
    expect(outcome(yield* Effect.exit(start(30)))).toBe("ok")
    expect(outcome(yield* Effect.exit(start(31)))).toBe("too-many-open-runs")
  })
)

it.effect("lets a start in again whose run is there, or is being started, however full it is", () =>
  Effect.gen(function* () {
    const { state, load } = world()
    const admission = yield* make({ ...limits, openRuns: 1 }).pipe(Effect.provideService(Load, load))
    const held = yield* Deferred.make<void>()
    const first = yield* Effect.fork(admission.start(acme, run(1), held))
    yield* Effect.repeatN(Effect.yieldNow(), 50)
    const again = yield* Effect.fork(admission.start(acme, run(1), held))
    yield* Effect.repeatN(Effect.yieldNow(), 50)
    yield* Deferred.succeed(held, undefined)
    yield* Fiber.join(Fiber.zip(first, again))
    state.open.add(run(1)).add(run(2))
    state.known.add(run(1))
    expect(outcome(yield* Effect.exit(admission.start(acme, run(1), Effect.void)))).toBe("ok")
    expect(outcome(yield* Effect.exit(admission.start(acme, run(3), Effect.void)))).toBe("too-many-open-runs")
  })
)

it.effect("refuses when the runners have their hands full, and when a tenant's tokens are spent until midnight", () =>
  Effect.gen(function* () {
    const { state, load } = world()
    const admission = yield* make({ ...limits, tokensPerDay: 1_000 }).pipe(Effect.provideService(Load, load))
    const start = (id: number) => Effect.exit(admission.start(acme, run(id), Effect.void))
    state.working = 100
    expect(outcome(yield* start(1))).toBe("system-busy")
    state.working = 99
    yield* TestClock.adjust("300 millis")
    expect(outcome(yield* start(2))).toBe("ok")
    // What was let in since the count is counted with it.
    expect(outcome(yield* start(3))).toBe("system-busy")
    state.working = 0
    state.allowance = { tokensToday: 1_000 }
    yield* TestClock.adjust("6 seconds")
    const spent = yield* Effect.flip(admission.start(acme, run(4), Effect.void))
    expect(spent).toMatchObject({ code: "token-budget-spent" })
    expect(spent.retryAfter).toBeGreaterThan(0)
    expect(spent.retryAfter).toBeLessThanOrEqual(86_400)
    // A tenant's own row goes before what all have.
    state.allowance = { tokensToday: 1_000, tokensPerDay: 5_000 }
    yield* TestClock.adjust("6 seconds")
    expect(outcome(yield* start(5))).toBe("ok")
    state.allowance = { tokensToday: 0, openRuns: 0 }
    yield* TestClock.adjust("6 seconds")
    expect(outcome(yield* start(6))).toBe("too-many-open-runs")
  })
)

it.effect("lets starts in while the database is away, which they wait for, and refuses when it does not keep up", () =>
  Effect.gen(function* () {
    const { state, load } = world()
    const admission = yield* make({ ...limits, openRuns: 1 }).pipe(Effect.provideService(Load, load))
    state.down = true
    for (const id of [1, 2, 3]) {
      expect(outcome(yield* Effect.exit(admission.start(acme, run(id), Effect.void)))).toBe("ok")
    }
    state.down = false
    const slow = yield* make(limits).pipe(Effect.provideService(Load, { ...load, tenant: () => Effect.never }))
    const waiting = yield* Effect.fork(Effect.exit(slow.start(acme, run(4), Effect.void)))
    yield* TestClock.adjust("4 seconds")
    expect(outcome(yield* Fiber.join(waiting))).toBe("system-busy")
  })
)

it.effect("limits rates per address, user and tenant, each by itself", () =>
  Effect.gen(function* () {
    const { load } = world()
    const admission = yield* make({
      ...limits,
      address: { perSecond: 1, burst: 4 },
      user: { perSecond: 1, burst: 2 },
      tenant: { perSecond: 1, burst: 3 }
    }).pipe(Effect.provideService(Load, load))
    const outcomes = (calls: ReadonlyArray<Effect.Effect<void, Problem>>) =>
      Effect.forEach(calls, (call) => Effect.map(Effect.exit(call), outcome))
    const carl = { ...acme, subject: "carl" }
    expect(yield* outcomes([acme, acme, acme, carl, carl, other].map(admission.operation))).toEqual([
      "ok",
      "ok",
      "rate-limited",
      "ok",
      "rate-limited",
      "ok"
    ])
    expect(yield* outcomes(["::1", "::2", "::3", "::4", "::5", "10.0.0.1"].map(admission.address))).toEqual([
      "ok",
      "ok",
      "ok",
      "ok",
      "rate-limited",
      "ok"
    ])
    expect((yield* Effect.flip(admission.address("::6"))).retryAfter).toBe(1)
  })
)

it("takes an IPv6 /64 for one address, and believes only its own proxies", () => {
  expect(addressKey("2001:db8:1:2:3:4:5:6")).toBe(addressKey("2001:db8:1:2::9"))
  expect(addressKey("2001:db8:1:2::9")).not.toBe(addressKey("2001:db8:1:3::9"))
  expect(addressKey("::ffff:10.0.0.1")).toBe(addressKey("10.0.0.1"))
  expect(clientAddress("10.0.0.1", "1.2.3.4", 0)).toBe("10.0.0.1")
  expect(clientAddress("10.0.0.1", "6.6.6.6, 1.2.3.4, 35.0.0.1", 2)).toBe("1.2.3.4")
  expect(clientAddress("10.0.0.1", undefined, 2)).toBe("10.0.0.1")
})

it.scopedLive(
  "counts in Postgres: a tenant's open runs, all that is worked on, today's tokens, a tenant's own limits",
  () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const layer = Live.load.pipe(
        Layer.provide(
          Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 2 })
        )
      )
      yield* database.query("insert into agents.sessions (tenant_id, session_id) values ('acme', 's'), ('other', 's')")
      yield* database.query(`
      insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release, finished_at)
      values ('acme', 'r1', 's', 'e1', 'w', 'accepted', 'x', null), ('acme', 'r2', 's', 'e2', 'w', 'waiting', 'x', null),
        ('acme', 'r3', 's', 'e3', 'w', 'completed', 'x', now()), ('other', 'r4', 's', 'e4', 'w', 'accepted', 'x', null)`)
      yield* database.query(`
      insert into agents.token_usage (tenant_id, execution_id, step, workflow, model, input_tokens, output_tokens, recorded_at)
      values ('acme', 'e1', 'a', 'w', 'm', 10, 20, now()), ('acme', 'e2', 'a', 'w', 'm', 1, 2, now()),
        ('acme', 'e3', 'a', 'w', 'm', 1000, 0, now() - interval '25 hours'), ('other', 'e4', 'a', 'w', 'm', 7, 0, now())`)
      yield* database.query(
        "insert into agents.tenant_limits (tenant_id, open_runs, tokens_per_day) values ('acme', 7, 50)"
      )
      yield* Effect.gen(function* () {
        const load = yield* Load
        const { tenantId } = acme
        expect(yield* load.tenant(tenantId, run(9), [], 10)).toEqual({ open: 2, known: false })
        expect(yield* load.tenant(tenantId, run(3), [run(1)], 10)).toEqual({ open: 1, known: true })
        expect(yield* load.tenant(tenantId, run(4), [], 1)).toEqual({ open: 1, known: false })
        expect(yield* load.working(10)).toBe(2)
        expect(yield* load.working(1)).toBe(1)
        expect(yield* load.allowance(tenantId)).toEqual({ openRuns: 7, tokensPerDay: 50, tokensToday: 33 })
        expect(yield* load.allowance(other.tenantId)).toEqual({ tokensToday: 7 })
      }).pipe(Effect.provide(layer))
    })
)
