/** Texts as vectors: the closer two are, the more their texts have in common. `data/Memories.ts` searches by them. */
import { Context, type Effect, Schema } from "effect"
import type { Usage } from "./EventLog.ts"

/** The message names no text: it is logged. */
export class EmbeddingUnavailable extends Schema.TaggedError<EmbeddingUnavailable>()("EmbeddingUnavailable", {
  message: Schema.String
}) {}

export type Vector = ReadonlyArray<number>

export class Embedding extends Context.Tag("domain/Embedding")<
  Embedding,
  {
    /** Of the method, its dimensions included. Vectors of two methods can't be compared. */
    readonly name: string
    /** The distance (1 less the cosine) up to which two texts are about the same. */
    readonly near: number
    /**
     * A vector of length 1 for each text, in their order; of length 0 for a text that says nothing. `onUsed` is told what the
     * provider counts for it; a method that costs nothing tells nothing.
     */
    readonly embed: (
      texts: ReadonlyArray<string>,
      onUsed?: (used: Usage) => void
    ) => Effect.Effect<ReadonlyArray<Vector>, EmbeddingUnavailable>
  }
>() {}
