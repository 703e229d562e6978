/** A tenant's memory, as two tools. What it gives back somebody's run once wrote: data, like a page that is read. */
import { Effect } from "effect"
import { Memory, memoryLimits } from "../../domain/Memory.ts"
import { limits } from "./Policy.ts"
import type { Tool } from "./Tool.ts"

const answerOf = (id: string) => `Remembered as number ${id}.`

export const remember: Tool<Memory> = {
  name: "remember",
  description: "Keeps a fact for later runs of this tenant. Never secrets or what somebody asked to be kept private.",
  input: `The fact alone, in a sentence that can be understood by itself, of at most ${memoryLimits.length} characters`,
  refuses: (input) =>
    input.trim() === "" || input.length > memoryLimits.length
      ? `A fact has between 1 and ${memoryLimits.length} characters.`
      : undefined,
  run: (input, { run, idempotencyKey }) =>
    Memory.pipe(
      Effect.flatMap((memory) => memory.remember(run, idempotencyKey, input)),
      Effect.mapBoth({ onSuccess: answerOf, onFailure: ({ message }) => message })
    ),
  /** A run that failed leaves nothing to be believed. */
  undo: (_, output, { run }) =>
    Effect.gen(function* () {
      const id = /^Remembered as number (\d{1,19})\.$/.exec(output)?.[1]
      if (id === undefined) return "Nothing was remembered."
      const memory = yield* Memory
      const gone = yield* Effect.mapError(memory.forget(run.tenantId, id), ({ message }) => message)
      return gone ? `Forgot number ${id}.` : `Number ${id} was forgotten already.`
    })
}

export const recall: Tool<Memory> = {
  name: "recall",
  description: `Finds at most ${memoryLimits.recalled} facts that earlier runs of this tenant remembered.`,
  input: "Some words that such a fact holds",
  run: (input, { run, idempotencyKey }) =>
    Memory.pipe(
      Effect.flatMap((memory) => memory.recall(run, idempotencyKey, input)),
      Effect.mapBoth({
        onSuccess: (found) => {
          const lines = found.map(({ id, text }) => `${id}: ${text.replaceAll("\n", " ")}`)
          // The closest that fit: an answer that is too long would be none.
          while (lines.join("\n").length > limits.maxOutputLength) lines.pop()
          return lines.length === 0 ? "Nothing is remembered about this." : lines.join("\n")
        },
        onFailure: ({ message }) => message
      })
    )
}
