/** Which releases the runners of a target carry: while one replica has the new release, both must be live. */
import { Effect, Schedule } from "effect"
import type { Cluster, PodStatus } from "./drivers/Driver.ts"
import type { Release } from "./release/Release.ts"

export interface Live {
  readonly release: string
  /** Ready ones that are not being ended. */
  readonly runners: number
}

/** Smoke has just killed a runner: it may still be on its way back. */
const BACK = Schedule.spaced("500 millis").pipe(Schedule.upTo("30 seconds"))

/** Pure. */
export const liveOf = (
  pods: ReadonlyArray<Pick<PodStatus, "owner" | "ready" | "terminating" | "images">>,
  releases: ReadonlyArray<Release>
): ReadonlyArray<Live> =>
  releases.map(({ name, images }) => ({
    release: name,
    runners: pods.filter(
      (pod) =>
        pod.owner.startsWith("StatefulSet/") &&
        pod.ready &&
        !pod.terminating &&
        pod.images.includes(images["agents"] ?? "")
    ).length
  }))

export const allLive = (live: ReadonlyArray<Live>): boolean => live.every(({ runners }) => runners > 0)

/** As they are once each release has a runner, or when there was time enough for it. */
export const read = (cluster: Cluster, releases: ReadonlyArray<Release>): Effect.Effect<ReadonlyArray<Live>> =>
  Effect.map(cluster.pods, (pods) => liveOf(pods, releases)).pipe(
    Effect.repeat({ until: allLive, schedule: BACK }),
    Effect.zipRight(Effect.map(cluster.pods, (pods) => liveOf(pods, releases)))
  )

export const print = (live: ReadonlyArray<Live>): string =>
  live.map(({ release, runners }) => `${runners} of ${release}`).join(", ")
