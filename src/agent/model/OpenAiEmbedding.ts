/**
 * Vectors by OpenAI's embeddings API: of what texts mean. All texts of a call go in one request.
 *
 * Whoever asks can do without an answer and has little time: a request that failed, or whose key was refused, is sent once more, and
 * all of it ends after `patience`. Texts appear in no message: these are logged.
 */
import * as OpenAiClient from "@effect/ai-openai/OpenAiClient"
import { HttpClient } from "@effect/platform"
import { Duration, Effect, Layer, type Redacted } from "effect"
import { Embedding, EmbeddingUnavailable, type Vector } from "../../domain/Embedding.ts"
import { fromAiError } from "./ModelFailure.ts"

export interface OpenAiEmbeddingOptions {
  /** Read for each request: a rotated key needs no restart. */
  readonly key: () => Redacted.Redacted
  /** The API's base, `https://api.openai.com/v1`. */
  readonly url: string
  /** One that can shorten its vectors: `text-embedding-3-small` or `-large`. */
  readonly model: string
  readonly patience?: Duration.Duration
}

/** As the local one has: a memory's vector is about as large as its text. */
const DIMENSIONS = 512

/** Chosen, not measured: no test reaches the provider. It decides whether a question that nothing is known about finds nothing. */
const NEAR = 0.7

/** A tool may take 10 s, and the database needs some of them when it is away. */
const PATIENCE = Duration.seconds(3)
const PAUSE = Duration.millis(250)

/** The API refuses a text that is blank, and it says nothing anyway. */
const isBlank = (text: string) => text.trim() === ""
const nothing: Vector = new Array<number>(DIMENSIONS).fill(0)

const make = (options: OpenAiEmbeddingOptions) =>
  Effect.gen(function* () {
    const http = yield* HttpClient.HttpClient
    const unavailable = (what: string) =>
      new EmbeddingUnavailable({ message: `The embedding model ${options.model} ${what}.` })

    const request = (texts: readonly [string, ...ReadonlyArray<string>]) =>
      Effect.suspend(() => OpenAiClient.make({ apiKey: options.key(), apiUrl: options.url })).pipe(
        Effect.provideService(HttpClient.HttpClient, http),
        Effect.flatMap((client) =>
          client.createEmbedding({
            model: options.model,
            input: texts,
            dimensions: DIMENSIONS,
            encoding_format: "float"
          })
        ),
        Effect.scoped,
        Effect.mapError(fromAiError(options.model, Date.now))
      )

    /** In the order of the texts, each of length 1. */
    const vectorsOf = (count: number, data: ReadonlyArray<{ readonly index: number; readonly embedding: Vector }>) => {
      const vectors = Array.from({ length: count }, (_, index) => {
        const found = data.find((one) => one.index === index)?.embedding ?? []
        const length = Math.hypot(...found)
        return found.length === DIMENSIONS && length > 0 ? found.map((value) => value / length) : undefined
      })
      return vectors.every((vector) => vector !== undefined)
        ? Effect.succeed(vectors)
        : Effect.fail(unavailable("left a text out, or gave vectors of another length"))
    }

    return Embedding.of({
      name: `${options.model}/${DIMENSIONS}`,
      near: NEAR,
      embed: Effect.fn("Embedding.embed")(function* (texts, onUsed) {
        const [first, ...others] = texts.filter((text) => !isBlank(text))
        if (first === undefined) return texts.map(() => nothing)
        const { data, usage } = yield* request([first, ...others]).pipe(
          Effect.tapError((failure) => (failure.kind === "never" ? Effect.void : Effect.sleep(PAUSE))),
          Effect.retry({ times: 1, while: ({ kind }) => kind !== "never" }),
          Effect.mapError(({ message }) => new EmbeddingUnavailable({ message })),
          Effect.timeoutFail({ duration: options.patience ?? PATIENCE, onTimeout: () => unavailable("was silent") })
        )
        onUsed?.({ model: options.model, inputTokens: usage.prompt_tokens, outputTokens: 0 })
        const vectors = yield* vectorsOf(others.length + 1, data)
        return texts.map((text) => (isBlank(text) ? nothing : vectors.shift()!))
      })
    })
  })

export const layer = (options: OpenAiEmbeddingOptions): Layer.Layer<Embedding, never, HttpClient.HttpClient> =>
  Layer.effect(Embedding, make(options))
