/** A model without a network, a key or a cost, that gives the same answer each time. What it can be told: `Directives.ts`. */
import { Effect, Layer, Stream } from "effect"
import * as Directives from "./Directives.ts"
import { Model, ModelError } from "./Model.ts"

const FILLER = "so it goes on word by word until the answer is as long as it was asked to be".split(" ")

/** The answer's tokens: the message comes back, cut or filled up to the wanted length. */
export const tokensOf = (message: string): ReadonlyArray<string> => {
  const words = `You said: ${message.trim()}`.split(/\s+/)
  const { tokens } = Directives.parse(message)
  return Array.from({ length: tokens }, (_, index) => {
    const word = words[index] ?? FILLER[index % FILLER.length]
    return index === 0 ? `${word}` : ` ${word}`
  })
}

const countTokens = (text: string): number => text.split(/\s+/).filter((word) => word !== "").length

export const layer: Layer.Layer<Model> = Layer.succeed(Model, {
  countTokens,
  plan: ({ message }) =>
    Effect.sync(() => {
      const { approve, tools, followUpSeconds, failLater } = Directives.parse(message)
      return {
        calls: tools.map(({ tool, input }, index) => ({ call: `${index + 1}`, tool, input })),
        ...(approve ? { approval: "The message asks for a person's approval." } : {}),
        ...(followUpSeconds === undefined
          ? {}
          : {
              followUp: {
                afterSeconds: followUpSeconds,
                message: `${failLater ? "fail " : ""}Is there more to say about: ${message}`
              }
            })
      }
    }),
  answer: ({ message }, attempt) => {
    const { fail, flaky, slowMillis } = Directives.parse(message)
    if (fail) return Stream.fail(new ModelError({ message: "The model refused to answer.", retryable: false }))
    const tokens = tokensOf(message)
    const given = attempt <= flaky ? tokens.slice(0, Math.ceil(tokens.length / 2)) : tokens
    const steady = Stream.fromIterable(given)
    const stream =
      slowMillis === 0
        ? steady
        : // One at a time: a chunk would come at its last token's pace.
          steady.pipe(
            Stream.rechunk(1),
            Stream.tap(() => Effect.sleep(slowMillis))
          )
    return given === tokens
      ? stream
      : Stream.concat(
          stream,
          Stream.fail(new ModelError({ message: "The model broke off its answer.", retryable: true }))
        )
  }
})
