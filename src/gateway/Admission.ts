/**
 * Who is let in, decided before anything is spent. Whoever is not gets 429, a stable code, and when to come again.
 *
 * | bound                    | counted       | why there                                                             |
 * |--------------------------|---------------|-----------------------------------------------------------------------|
 * | rate per address         | in memory     | asked before the token is verified, at every request: must be free    |
 * | rate per user and tenant | in memory     | guards this process and its pool; no account of use                    |
 * | open runs per tenant     | Postgres      | a promise to the tenant: asked anew at every start                    |
 * | runs under way, in all   | Postgres, 250 ms old | guards runners from collapse: needs the size, not the number   |
 * | tokens a day per tenant  | Postgres, 5 s old | a run's tokens are known when it has used them, so it is late anyway |
 *
 * Open runs are exact at one gateway: the count leaves out the starts that this process has in hand, which are added as the
 * set that they are. Several gateways can go over by what the others have in hand in that moment, some runs at a full load;
 * to rule that out a lock of the tenant would have to be held over the whole start, which costs each start a commit.
 *
 * A start that is sent again is let in whatever the counts say: its run is there already. When the database is away, starts
 * are let in too: they wait for it, and say what happened (503 belongs there). When it is there and does not answer in time,
 * this process or the database has more to do than it can, and starts are refused.
 */
import { Clock, Context, Duration, Effect, Layer } from "effect"
import type { Caller } from "../domain/Caller.ts"
import type { RunId, TenantId } from "../domain/Ids.ts"
import { type Problem, problem } from "../domain/Problem.ts"
import { Load, type TenantAllowance } from "./Ports.ts"
import { type Rate, make as tokenBuckets } from "./TokenBuckets.ts"

export interface AdmissionLimits {
  /** Requests and WebSocket handshakes from one address. */
  readonly address: Rate
  /** Operations of one user: starts, reads, approvals, cancels, over HTTP, RPC and WebSocket together. */
  readonly user: Rate
  /** Operations of all users of a tenant. */
  readonly tenant: Rate
  readonly openRuns: number
  /** Runs of all tenants that are worked on or wait to be. */
  readonly queueDepth: number
  /** Tokens a day of a tenant; `undefined` for no budget. */
  readonly tokensPerDay: number | undefined
}

export type StartRefused = Problem<"too-many-open-runs"> | Problem<"token-budget-spent"> | Problem<"system-busy">

export class Admission extends Context.Tag("gateway/Admission")<
  Admission,
  {
    /** Before anything else is done for a request. */
    readonly address: (address: string) => Effect.Effect<void, Problem<"rate-limited">>
    /** Before an operation of a verified caller. */
    readonly operation: (caller: Caller) => Effect.Effect<void, Problem<"rate-limited">>
    /** Around the start of a run. Until it ends the run counts as open, wherever it stands. */
    readonly start: <A, E, R>(
      caller: Caller,
      runId: RunId,
      start: Effect.Effect<A, E, R>
    ) => Effect.Effect<A, E | StartRefused, R>
  }
>() {}

/** How many proxies of ours stand between a client and this process. */
export class ProxyHops extends Context.Tag("gateway/ProxyHops")<ProxyHops, number>() {}

const ALLOWANCE_AGE = Duration.toMillis("5 seconds")
const WORKING_AGE = Duration.toMillis("250 millis")
/** A client that waits for its start waits for this as well. Shorter than the wait for a connection of the pool (5 s). */
const COUNT_TIMEOUT = Duration.seconds(3)
/** Runs take seconds to minutes: asking again at once only adds to the load. */
const OPEN_RUNS_RETRY_SECONDS = 5
const BUSY_RETRY_SECONDS = 2
const MAX_TENANTS = 10_000

const busy = problem("system-busy", "More is under way than can be worked on. Nothing was started.", {
  retryAfter: BUSY_RETRY_SECONDS
})

const DAY = 86_400_000
const untilMidnight = (now: number) => Math.ceil((DAY - (now % DAY)) / 1000)

/** A /64 is what one customer of a provider has; with its single addresses nobody could be limited. */
export const addressKey = (address: string): string => {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, "")
  if (!plain.includes(":")) return plain
  const [head = "", tail] = plain.split("::")
  const left = head === "" ? [] : head.split(":")
  const right = tail === undefined || tail === "" ? [] : tail.split(":")
  const zeros = tail === undefined ? [] : Array.from({ length: Math.max(0, 8 - left.length - right.length) }, () => "0")
  return [...left, ...zeros, ...right].slice(0, 4).join(":")
}

/**
 * The client's address. `hops` proxies of ours each append to `X-Forwarded-For` whom they were asked by; what stands before
 * their entries was written by the client, and is not believed.
 */
export const clientAddress = (remote: string | undefined, forwardedFor: string | undefined, hops: number): string => {
  if (hops === 0) return remote ?? "unknown"
  const entries = (forwardedFor ?? "").split(",").map((entry) => entry.trim())
  return entries.at(-hops) || (remote ?? "unknown")
}

export const make = (limits: AdmissionLimits) =>
  Effect.gen(function* () {
    const load = yield* Load
    const buckets = tokenBuckets(() => performance.now())
    const allowances = new Map<TenantId, { readonly at: number; readonly value: TenantAllowance }>()
    /** Starts in hand that were let in and whose run may not be counted by Postgres yet. */
    const starting = new Map<TenantId, Set<RunId>>()
    /** Starts let in so far, by tenant and in all. What grew while Postgres counted was not in the count. */
    const letIn = new Map<TenantId, number>()
    let letInOfAll = 0
    let underWay = { at: Number.NEGATIVE_INFINITY, count: 0, letIn: 0 }

    const orElse = <A, E, B>(count: Effect.Effect<A, E>, otherwise: B): Effect.Effect<A | B> =>
      count.pipe(
        Effect.interruptible,
        Effect.catchAll((cause) =>
          Effect.logWarning("what is under way could not be counted").pipe(
            Effect.annotateLogs({ cause: String(cause) }),
            Effect.as(otherwise)
          )
        )
      )

    const rateLimited = (whose: string, rate: Rate, waitMillis: number) =>
      problem("rate-limited", `More than ${rate.perSecond} requests a second come from ${whose}.`, {
        retryAfter: Math.max(1, Math.ceil(waitMillis / 1000))
      })

    const take = (key: string, rate: Rate, whose: string) =>
      Effect.suspend(() => {
        const wait = buckets.take(key, rate)
        return wait === 0 ? Effect.void : Effect.fail(rateLimited(whose, rate, wait))
      })

    /** Some seconds old; read by one start at a time, the others take what there is. */
    const allowance = Effect.fnUntraced(function* (tenantId: TenantId) {
      const now = yield* Clock.currentTimeMillis
      const known = allowances.get(tenantId)
      if (known !== undefined && now - known.at < ALLOWANCE_AGE) return known.value
      const fallback = known?.value ?? { tokensToday: 0 }
      allowances.delete(tenantId)
      if (allowances.size >= MAX_TENANTS) {
        const oldest = allowances.keys().next()
        if (!oldest.done) allowances.delete(oldest.value)
      }
      if (known !== undefined) allowances.set(tenantId, { at: now, value: known.value })
      const value = yield* orElse(Effect.timeout(load.allowance(tenantId), COUNT_TIMEOUT), fallback)
      allowances.set(tenantId, { at: now, value })
      return value
    })

    const countWorking = Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      if (now - underWay.at >= WORKING_AGE) {
        const before = letInOfAll
        underWay = { ...underWay, at: now }
        const count = yield* orElse(Effect.timeout(load.working(limits.queueDepth), COUNT_TIMEOUT), 0)
        underWay = { at: now, count, letIn: before }
      }
    })

    const LET_IN_UNCOUNTED = Effect.succeed<Effect.Effect<void>>(Effect.void)

    /** Succeeds with what must be done when the start has ended. */
    const admit = Effect.fn("Admission.admit")(function* ({ tenantId }: Caller, runId: RunId) {
      if (starting.get(tenantId)?.has(runId) === true) return yield* LET_IN_UNCOUNTED
      const { openRuns = limits.openRuns, tokensPerDay = limits.tokensPerDay, tokensToday } = yield* allowance(tenantId)
      yield* countWorking
      // Taken together: who is let in after this moment is in `since`, who was before in `inHand` or in the count.
      const inHand = [...(starting.get(tenantId) ?? [])]
      const before = letIn.get(tenantId) ?? 0
      const { open, known } = yield* orElse(load.tenant(tenantId, runId, inHand, openRuns), {
        open: 0,
        known: true
      }).pipe(Effect.timeoutFail({ duration: COUNT_TIMEOUT, onTimeout: () => busy }))
      if (known) return yield* LET_IN_UNCOUNTED
      // From here to the end nothing waits, so no other start can come between the look and the place that is taken.
      const since = (letIn.get(tenantId) ?? 0) - before
      if (open + inHand.length + since >= openRuns) {
        return yield* problem(
          "too-many-open-runs",
          `Your tenant may have ${openRuns} runs open at the same time. Let some end, or cancel them.`,
          { retryAfter: OPEN_RUNS_RETRY_SECONDS }
        )
      }
      if (tokensPerDay !== undefined && tokensToday >= tokensPerDay) {
        return yield* problem(
          "token-budget-spent",
          `Your tenant has used ${tokensToday} of its ${tokensPerDay} tokens of today (UTC).`,
          { retryAfter: untilMidnight(Date.now()) }
        )
      }
      if (underWay.count + letInOfAll - underWay.letIn >= limits.queueDepth) {
        return yield* busy
      }
      letInOfAll += 1
      letIn.set(tenantId, (letIn.get(tenantId) ?? 0) + 1)
      const runs = starting.get(tenantId) ?? new Set<RunId>()
      starting.set(tenantId, runs.add(runId))
      return Effect.sync(() => {
        runs.delete(runId)
        if (runs.size === 0 && starting.get(tenantId) === runs) starting.delete(tenantId)
      })
    })

    return Admission.of({
      address: (address) => take(`address ${addressKey(address)}`, limits.address, "your address"),
      operation: ({ tenantId, subject }) =>
        take(`user ${tenantId}/${subject}`, limits.user, "you").pipe(
          Effect.zipRight(
            Effect.suspend(() => {
              const own = allowances.get(tenantId)?.value.requestsPerSecond
              const rate = own === undefined ? limits.tenant : { perSecond: own, burst: Math.max(1, 2 * own) }
              return take(`tenant ${tenantId}`, rate, "your tenant")
            })
          )
        ),
      start: (caller, runId, start) =>
        Effect.acquireUseRelease(
          admit(caller, runId),
          () => start,
          (ended) => ended
        )
    })
  })

export const layer = (limits: AdmissionLimits): Layer.Layer<Admission, never, Load> =>
  Layer.effect(Admission, make(limits))
