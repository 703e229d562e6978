/** The releases that the candidate meets: those that run, and those that may have to come back. */
import { SqlClient, type SqlError } from "@effect/sql"
import { Effect, Either } from "effect"
import * as Surface from "../../surface/Surface.ts"
import * as Releases from "../Releases.ts"

export interface OtherRelease {
  readonly release: string
  /** Undefined: its runners live, but nobody recorded it here. */
  readonly state: Releases.State | undefined
  readonly liveRunners: number
  /** Undefined when it was never recorded. */
  readonly surface: Either.Either<Surface.Surface, Surface.SurfaceUnreadable> | undefined
}

/**
 * Whether processes of it run beside the candidate's. A release that is only `deploying` counts by its runners alone: one
 * that a gate refused stays in that state, and must not stand in the way of the release that mends it.
 */
export const runsBeside = ({ state, liveRunners }: OtherRelease): boolean => liveRunners > 0 || state === "deployed"

const short = (release: string) => (/^[0-9a-f]{40}$/.test(release) ? release.slice(0, 12) : release)

/** `1a2b3c4d5e6f (deployed, 3 live runners)` */
export const describe = ({ release, state, liveRunners }: OtherRelease): string =>
  `${short(release)} (${[
    state ?? "not recorded",
    ...(liveRunners === 0 ? [] : [`${liveRunners} live runner${liveRunners === 1 ? "" : "s"}`])
  ].join(", ")})`

/** Whether the release records' tables are there. */
const recorded: Effect.Effect<boolean, SqlError.SqlError, SqlClient.SqlClient> = SqlClient.SqlClient.pipe(
  Effect.flatMap((sql) =>
    sql.unsafe<{ there: boolean }>(
      "select to_regclass('agents.releases') is not null and to_regclass('agents.runners') is not null as there"
    )
  ),
  Effect.map(([row]) => row?.there === true)
)

/** The other releases that may have left open work here, and since when the candidate itself may have. */
export interface Before {
  readonly surfaces: ReadonlyArray<Surface.Surface>
  /** In ms since 1970. Undefined: it never was here. */
  readonly since: number | undefined
}

export interface Found {
  /**
   * All but the candidate itself and those that are retired without a live runner. Undefined: nothing is recorded here yet.
   */
  readonly others: ReadonlyArray<OtherRelease> | undefined
  /** Undefined when that can't be told: a live release is not recorded, or a record can't be read. See `Gate.Input`. */
  readonly before: Before | undefined
}

export const read = (candidate: string): Effect.Effect<Found, SqlError.SqlError, SqlClient.SqlClient> =>
  Effect.gen(function* () {
    if (!(yield* recorded)) return { others: undefined, before: undefined }
    const records = yield* Releases.list
    const alive = new Map((yield* Releases.alive).map(({ release, runners }) => [release, runners]))
    const known = yield* Effect.forEach(records, ({ release, state, surface }) =>
      Effect.either(Surface.read(surface, `the surface of release ${short(release)}`)).pipe(
        Effect.map((surface) => ({ release, state, liveRunners: alive.get(release) ?? 0, surface }))
      )
    )
    const strangers = [...alive]
      .filter(([release]) => records.every((record) => record.release !== release))
      .map(([release, liveRunners]): OtherRelease => ({ release, state: undefined, liveRunners, surface: undefined }))
    const others = known.filter(({ release }) => release !== candidate)
    const surfaces = Either.all(others.map(({ surface }) => surface))
    return {
      others: [
        ...others.filter(({ state, liveRunners }) => state !== "retired" || liveRunners > 0),
        ...strangers.filter(({ release }) => release !== candidate)
      ],
      before:
        strangers.length > 0 || Either.isLeft(surfaces)
          ? undefined
          : {
              surfaces: surfaces.right,
              since: others.length < known.length ? yield* Releases.firstSeen(candidate) : undefined
            }
    }
  })
