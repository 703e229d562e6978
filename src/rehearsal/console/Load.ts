/**
 * Requests over time at each target's gateways, drawn from what they tell Prometheus: differences of their counters.
 *
 * Kept in memory alone: a server that starts anew begins a new curve.
 */
import { Effect, Ref, Schedule, type Scope } from "effect"
import type { Host } from "../host/HostClient.ts"
import type { LoadView } from "./State.ts"

const GATEWAY = "Deployment/agent-gateway"
const METRIC = /^agents_gateway_requests_total\{code="(\d{3})"\} (\d+)$/gm
const EVERY_MS = 5_000
/** Ten minutes. */
const KEPT = (10 * 60_000) / EVERY_MS

export interface Counts {
  readonly answered: number
  readonly refused: number
  readonly failed: number
}
const NONE: Counts = { answered: 0, refused: 0, failed: 0 }
const KINDS = ["answered", "refused", "failed"] as const

/** 429 is the limit that a gateway keeps, 5xx a failure; all else was answered, with what a caller did wrong too. */
export const countsOf = (text: string): Counts => {
  const sum = { ...NONE }
  for (const [, code = "", count] of text.matchAll(METRIC)) {
    sum[code === "429" ? "refused" : code.startsWith("5") ? "failed" : "answered"] += Number(count)
  }
  return sum
}

export interface Memory {
  readonly at: number
  /** What each pod had counted when it was last heard. */
  readonly pods: ReadonlyMap<string, Counts>
  readonly points: LoadView["points"]
}

/** The next point of a target. A pod that is new, or counts from zero again after a restart, adds all that it has counted. */
export const next = (
  before: Memory | undefined,
  at: number,
  samples: ReadonlyArray<{ readonly pod: string; readonly text: string }>
): Memory => {
  const counted = samples.map(({ pod, text }) => [pod, countsOf(text)] as const)
  // One that does not answer for a moment is not new when it answers again. Names of pods come back or are few: the map stays small.
  const pods = new Map([...(before?.pods ?? []), ...counted].slice(-500))
  // Nobody knows in what time the first counts came together.
  if (before === undefined) return { at, pods, points: [] }
  const seconds = Math.max(1, at - before.at) / 1_000
  const rate = (kind: keyof Counts) =>
    counted.reduce((sum, [pod, now]) => {
      const past = before.pods.get(pod) ?? NONE
      const restarted = KINDS.some((one) => now[one] < past[one])
      return sum + now[kind] - (restarted ? 0 : past[kind])
    }, 0) / seconds
  const point = {
    at: new Date(at).toISOString(),
    gateways: samples.length,
    answered: rate("answered"),
    refused: rate("refused"),
    failed: rate("failed")
  }
  return { at, pods, points: [...before.points, point].slice(-KEPT) }
}

export interface Load {
  readonly views: Effect.Effect<ReadonlyArray<LoadView>>
}

/** Asks until the scope closes. */
export const make = (host: Host): Effect.Effect<Load, never, Scope.Scope> =>
  Effect.gen(function* () {
    const memory = yield* Ref.make<ReadonlyMap<string, Memory>>(new Map())
    yield* host.call("metrics", { owner: GATEWAY }).pipe(
      Effect.flatMap((targets) =>
        Ref.update(
          memory,
          (before) =>
            new Map(
              Object.entries(targets).map(([target, samples]) => [
                target,
                next(before.get(target), Date.now(), samples)
              ])
            )
        )
      ),
      // The server ends by itself when its host is gone.
      Effect.ignore,
      Effect.repeat(Schedule.spaced(EVERY_MS)),
      Effect.forkScoped
    )
    return {
      views: Effect.map(Ref.get(memory), (targets) => [...targets].map(([target, { points }]) => ({ target, points })))
    }
  })
