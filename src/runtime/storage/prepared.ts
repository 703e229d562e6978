/** What the batched storages share: statements by name on the pool itself, and the refusal of a full queue. */
import { SqlError } from "@effect/sql/SqlError"
import { Effect } from "effect"
import type pg from "pg"
import type { Statement } from "../../domain/Statement.ts"

/** By name, so that a connection parses and plans each statement once. */
export const runner =
  (pool: pg.Pool) =>
  <A, Params extends ReadonlyArray<unknown>>(statement: Statement<A, Params>, ...values: Params) =>
    Effect.async<ReadonlyArray<A>, SqlError>((resume) => {
      pool.query({ name: statement.name, text: statement.text, values: [...values] }, (error, result) =>
        resume(
          error
            ? Effect.fail(new SqlError({ cause: error, message: `Failed to execute ${statement.name}` }))
            : Effect.succeed(result.rows as ReadonlyArray<A>)
        )
      )
    })

/** A refusal that passes by itself: SQLSTATE 53, insufficient resources, so callers that are patient come again. */
export const refused = (why: string) =>
  new SqlError({
    cause: Object.assign(new Error(why), { code: "53000" }),
    message: `The storage takes no more: ${why}`
  })

/** The bounds of a batcher. */
export const bounds = {
  /** With one, rows wait for a whole round trip; with more, trips get smaller and cost the same each. */
  inFlight: 2,
  maxRows: 500,
  /** Beyond it a trip takes no further row: what one statement makes Postgres hold in memory stays bounded. */
  maxBytes: 4_000_000,
  /** Each is a fiber that waits. More than this is a database that is gone; the callers then wait outside, and come again. */
  maxQueued: 10_000
} as const

/** How long a process that ends waits for what is under way. */
export const CLOSE_WITHIN = "5 seconds"
