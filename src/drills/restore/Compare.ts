/**
 * Whether a copy holds all that its source held at a moment. Both are alive: rows that retention or the removal of a tenant took from
 * the source since then are no loss, so the question is only what the source has and the copy has not, or has otherwise.
 *
 * Rows are hashed in the databases, by buckets of their keys; only buckets that differ are read.
 */
import { Effect } from "effect"
import type { DrillAborted } from "../Drill.ts"
import { type Content, contents } from "./contents.ts"

export type Ask = <Row extends object>(
  text: string,
  values: ReadonlyArray<unknown>
) => Effect.Effect<ReadonlyArray<Row>, DrillAborted>

export interface Compared {
  readonly name: string
  /** Rows up to the moment. */
  readonly source: number
  readonly copy: number
  /** Rows that the copy lacks, and rows that it has otherwise. */
  readonly missing: number
  readonly changed: number
  /** Keys of some of them. */
  readonly examples: ReadonlyArray<string>
}

const BUCKETS = 1024
const EXAMPLES = 5

const rows = ({ from, at, key, same }: Content) =>
  `select k.key, hashtextextended(k.key, 0) & ${BUCKETS - 1} as bucket, k.hash from (
     select row(${key})::text as key, hashtextextended(row(${same})::text, 0) as hash from ${from} where ${at} <= $1::timestamptz
   ) k`

interface Bucket {
  readonly bucket: string
  readonly rows: number
  readonly digest: string
}

const bucketsOf = (ask: Ask, content: Content, asOf: string) =>
  ask<Bucket>(
    `select bucket::text, count(*)::int as rows, sum(hash::numeric)::text || '/' || sum(hashtextextended(key, 1)::numeric)::text as digest
     from (${rows(content)}) r group by 1`,
    [asOf]
  )

const rowsOf = (ask: Ask, content: Content, asOf: string, buckets: ReadonlyArray<string>) =>
  Effect.map(
    ask<{ key: string; hash: string }>(
      `select key, hash::text from (${rows(content)}) r where bucket = any($2::bigint[]) order by key`,
      [asOf, buckets]
    ),
    (found) => new Map(found.map(({ key, hash }) => [key, hash]))
  )

const total = (buckets: ReadonlyArray<Bucket>) => buckets.reduce((sum, bucket) => sum + bucket.rows, 0)

const compareOne = (source: Ask, copy: Ask, content: Content, asOf: string): Effect.Effect<Compared, DrillAborted> =>
  Effect.gen(function* () {
    const [here, there] = yield* Effect.all([bucketsOf(source, content, asOf), bucketsOf(copy, content, asOf)], {
      concurrency: 2
    })
    const digests = new Map(there.map(({ bucket, digest }) => [bucket, digest]))
    const differ = here.filter(({ bucket, digest }) => digests.get(bucket) !== digest).map(({ bucket }) => bucket)
    const [wanted, held] =
      differ.length === 0
        ? [new Map<string, string>(), new Map<string, string>()]
        : yield* Effect.all([rowsOf(source, content, asOf, differ), rowsOf(copy, content, asOf, differ)])
    const missing = [...wanted.keys()].filter((key) => !held.has(key))
    const changed = [...wanted].filter(([key, hash]) => held.has(key) && held.get(key) !== hash).map(([key]) => key)
    return {
      name: content.name,
      source: total(here),
      copy: total(there),
      missing: missing.length,
      changed: changed.length,
      examples: [...missing, ...changed].slice(0, EXAMPLES)
    }
  })

/** `asOf`: a moment up to which every transaction had ended when the copy was taken. Asks at most two things at a time. */
export const compare = (
  source: Ask,
  copy: Ask,
  asOf: string,
  only: ReadonlyArray<Content> = contents
): Effect.Effect<ReadonlyArray<Compared>, DrillAborted> =>
  Effect.forEach(only, (content) => compareOne(source, copy, content, asOf))

/** Sentences for what a comparison found. */
export const findingsOf = (compared: ReadonlyArray<Compared>): ReadonlyArray<string> =>
  compared
    .filter(({ missing, changed }) => missing + changed > 0)
    .map(
      ({ name, source, missing, changed, examples }) =>
        `${name}: of ${source} rows the copy lacks ${missing} and has ${changed} otherwise, for example ${examples.join(" ")}`
    )
