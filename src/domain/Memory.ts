/** What a tenant's runs know from earlier ones. Tools use it; `data/Memories.ts` keeps it in Postgres. */
import { Context, type Effect, Schema } from "effect"
import type { Spender } from "./EventLog.ts"
import type { TenantId } from "./Ids.ts"

export const memoryLimits = {
  /** Characters of one memory. The table's check says the same. */
  length: 1_024,
  perTenant: 1_000,
  /** Found by one question. */
  recalled: 5
} as const

export interface Remembered {
  readonly id: string
  readonly text: string
}

/** Not remembered, and why, in words for whoever asked. Of `unavailable`, the same call may be made again. */
export class NotRemembered extends Schema.TaggedError<NotRemembered>()("NotRemembered", {
  reason: Schema.Literal("full", "run-over", "unavailable"),
  message: Schema.String
}) {}

export class MemoryUnavailable extends Schema.TaggedError<MemoryUnavailable>()("MemoryUnavailable", {
  message: Schema.String
}) {}

export class Memory extends Context.Tag("domain/Memory")<
  Memory,
  {
    /** Answers the memory's id. Once for a key, whoever calls again. Only an open run may. */
    readonly remember: (run: Spender, key: string, text: string) => Effect.Effect<string, NotRemembered>
    /**
     * Memories of the run's tenant that share a word with the question or say about the same, the closest first, newer ones
     * before older. What the vectors cost is the run's, under the key, as it is of `remember`.
     */
    readonly recall: (
      run: Spender,
      key: string,
      question: string
    ) => Effect.Effect<ReadonlyArray<Remembered>, MemoryUnavailable>
    /** False when there was none. */
    readonly forget: (tenantId: TenantId, id: string) => Effect.Effect<boolean, MemoryUnavailable>
  }
>() {}
