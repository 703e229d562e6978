import { FetchHttpClient } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Duration, Effect, Layer, Redacted } from "effect"
import { openAiServer } from "../../../test/support/openai.ts"
import { until } from "../../../test/support/wait.ts"
import { Embedding } from "../../domain/Embedding.ts"
import { layer } from "./OpenAiEmbedding.ts"

/** By its first letter, and not of length 1. */
const vectorOf = (text: string) => Array.from({ length: 512 }, (_, place) => (place === text.charCodeAt(0) ? 2 : 0))
const placeOf = (vector: ReadonlyArray<number>) => vector.indexOf(1)

const world = (patience = Duration.seconds(20)) =>
  Effect.gen(function* () {
    const server = yield* openAiServer
    server.script({ vectors: vectorOf })
    let key = "first"
    const options = { key: () => Redacted.make(key), url: server.url, model: "text-embedding-3-small", patience }
    const built = yield* Layer.build(layer(options).pipe(Layer.provide(FetchHttpClient.layer)))
    const embedding = yield* Effect.provide(Embedding, built)
    return { ...server, embedding, rotate: (to: string) => (key = to) }
  })

it.scopedLive("asks for all texts at once, and gives each its vector, of length 1, in whatever order they come", () =>
  Effect.gen(function* () {
    const { asked, embedding } = yield* world()
    const vectors = yield* embedding.embed(["a text", " ", "b text", "c text"])
    expect(vectors.map(placeOf)).toEqual([97, -1, 98, 99])
    expect(vectors.map((vector) => Math.hypot(...vector))).toEqual([1, 0, 1, 1])
    expect(asked.map(({ body }) => body)).toMatchObject([
      { model: "text-embedding-3-small", input: ["a text", "b text", "c text"], dimensions: 512 }
    ])
    expect((yield* embedding.embed([])).length + (yield* embedding.embed([""])).length).toBe(1)
    expect(asked).toHaveLength(1)
    expect(embedding.name).toBe("text-embedding-3-small/512")
  })
)

it.scopedLive("asks once more when the provider fails or its key is being rotated", () =>
  Effect.gen(function* () {
    const { asked, embedding, keys, refused, rotate, script } = yield* world()
    script({ status: 503 }, { vectors: vectorOf })
    expect((yield* embedding.embed(["a"])).map(placeOf)).toEqual([97])
    expect(asked).toHaveLength(2)
    keys.delete("first")
    keys.add("second")
    const waiting = yield* Effect.fork(embedding.embed(["b"]))
    yield* until("the old key is refused", Effect.sync(refused), (times) => times === 1)
    rotate("second")
    expect((yield* waiting).map(placeOf)).toEqual([98])
  })
)

it.scopedLive("gives up soon, and tells no text", () =>
  Effect.gen(function* () {
    const { asked, embedding, script } = yield* world()
    for (const [behaviour, requests] of [
      [{ status: 500 }, 2],
      [{ status: 400 }, 1],
      [{ vectors: () => [1, 2] }, 1]
    ] as const) {
      const before = asked.length
      script(behaviour)
      const { _tag, message } = yield* Effect.flip(embedding.embed(["secret words"]))
      expect(_tag).toBe("EmbeddingUnavailable")
      expect(message).toContain("text-embedding-3-small")
      expect(message).not.toContain("secret")
      expect(asked.length - before).toBe(requests)
    }
    const silent = yield* world(Duration.millis(50))
    silent.script("silence")
    expect((yield* Effect.flip(silent.embedding.embed(["secret words"]))).message).toContain("was silent")
  })
)
