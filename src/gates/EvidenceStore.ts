/** Reads the evidence that gates kept in `agents.evidence`. */
import { Data, Effect, Either, Schema } from "effect"
import { Database, type DatabaseUnavailable, type StatementFailed } from "./Database.ts"
import { Evidence } from "./Evidence.ts"

/** More than a release can leave in its life: three targets, four phases, four gates, and some tries of each. */
const RECORDS = 500

export class EvidenceNotFound extends Data.TaggedError("EvidenceNotFound")<{ readonly message: string }> {}

export interface Kept {
  readonly release: string
  readonly records: ReadonlyArray<Evidence>
  /** Records that this image can't read: another format, or damaged. */
  readonly unreadable: number
}

export interface Latest {
  readonly release: string
  readonly gate: string
  readonly verdict: string
  readonly target: string | null
  readonly recordedAt: Date
}

const there = "select to_regclass('agents.evidence') is not null as there"
const NOTHING = 'The database has no table for evidence yet: "deliver migrate up" makes it.'

const session = Effect.gen(function* () {
  const database = yield* Database
  const opened = yield* database.session
  const [row] = yield* opened.query<{ there: boolean }>(there)
  if (row?.there !== true) return yield* new EvidenceNotFound({ message: NOTHING })
  return opened
})

type Failure = EvidenceNotFound | StatementFailed | DatabaseUnavailable

const decode = Schema.decodeUnknownEither(Evidence)

/** All that was kept of one release, oldest first. A commit may be cut short, as long as one release alone begins so. */
export const ofRelease = (prefix: string): Effect.Effect<Kept, Failure, Database> =>
  Effect.gen(function* () {
    const opened = yield* session
    const releases = yield* opened.query<{ release: string }>(
      "select distinct release from agents.evidence where starts_with(release, $1) order by 1 limit 6",
      [prefix]
    )
    const release = releases.find((row) => row.release === prefix) ?? releases[0]
    if (release === undefined) {
      return yield* new EvidenceNotFound({
        message: `No evidence of a release ${prefix} is kept here. "deliver evidence" lists the releases that have some.`
      })
    }
    if (releases.length > 1 && release.release !== prefix) {
      return yield* new EvidenceNotFound({
        message: `${prefix} is not one release but several: ${releases.map((row) => row.release).join(", ")}. Write more of the commit.`
      })
    }
    const rows = yield* opened.query<{ evidence: unknown }>(
      `select evidence from (select evidence_id, evidence from agents.evidence where release = $1 order by evidence_id desc limit ${RECORDS}) as newest order by evidence_id`,
      [release.release]
    )
    const decoded = rows.map(({ evidence }) => decode(evidence))
    const records = decoded.filter(Either.isRight).map(({ right }) => right)
    return { release: release.release, records, unreadable: decoded.length - records.length }
  }).pipe(Effect.scoped)

/** The last word of each gate about each release, newest first. */
export const latest: Effect.Effect<ReadonlyArray<Latest>, Failure, Database> = Effect.gen(function* () {
  const opened = yield* session
  const rows = yield* opened.query<{
    release: string
    gate: string
    verdict: string
    target: string | null
    recorded_at: Date
  }>(
    `select release, gate, verdict, target, recorded_at from (
       select distinct on (release, gate, target) evidence_id, release, gate, verdict, target, recorded_at
       from agents.evidence order by release, gate, target, evidence_id desc) as last
     order by evidence_id desc limit 50`
  )
  return rows.map(({ recorded_at, ...row }) => ({ ...row, recordedAt: recorded_at }))
}).pipe(Effect.scoped)
