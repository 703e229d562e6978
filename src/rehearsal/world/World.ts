/** What a rehearsal stands on, wherever its pods run: releases whose images pods can get, databases, an issuer, a load. */
import type { Effect, Scope } from "effect"
import type { Driver, DriverFailed, NotFound } from "../drivers/Driver.ts"
import type { PreconditionMissing, ToolFailed } from "../Errors.ts"
import type { SteadyLoad } from "../load/SteadyLoad.ts"
import type { Platform } from "../Platform.ts"
import type { Progress } from "../Progress.ts"
import type { Hook } from "../rollout/Rollout.ts"
import type { Target } from "../Target.ts"
import type { Tools } from "../Tools.ts"
import type { Releases } from "../Walk.ts"

export interface Setup {
  /** The repository's folder. */
  readonly root: string
  /** This run's own folder. */
  readonly run: string
  readonly tools: Tools
  readonly progress: Progress
  /** Builds the releases. Takes a while, so a world may start its parts beside it. */
  readonly build: Effect.Effect<Releases, PreconditionMissing | ToolFailed>
}

/** As pods are told about it: the addresses are the pods', not this process's. */
export interface WorldIdentity {
  readonly issuer: string
  readonly audience: string
  readonly jwksUrl: string
  /** For pods that no driver tells. */
  readonly metadataHost?: string
  /** Whose tokens the gates may show. */
  readonly gateCaller: string
  /** A token for the gateway. */
  readonly token: Effect.Effect<string>
}

export interface World {
  /** Images are named as pods get them. */
  readonly releases: Releases
  readonly driver: Driver
  readonly platform: Platform
  /** Those that take pods. Absent where there is but this machine: the walk then drains none. */
  readonly nodes?: Effect.Effect<ReadonlyArray<string>, DriverFailed>
  readonly identity: WorldIdentity
  /** The address at which pods reach servers of this process. Absent where they can't. */
  readonly reachedAt?: string
  /** `smoke` is the smoke run of the target's last phase: it names the image, the account and the limits of a client. */
  readonly startLoad: (
    target: Target,
    smoke: Hook
  ) => Effect.Effect<SteadyLoad, ToolFailed | NotFound | DriverFailed, Scope.Scope>
}

/** Runs that the load starts per second. Bounded: two cores run three targets, k6 and Postgres besides. */
export const LOAD_RATE = 3
