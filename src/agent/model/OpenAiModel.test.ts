import { FetchHttpClient } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Redacted, Stream } from "effect"
import { openAiServer } from "../../../test/support/openai.ts"
import { until } from "../../../test/support/wait.ts"
import { Model, type ModelRequest } from "./Model.ts"
import { layer } from "./OpenAiModel.ts"

const world = (options: { readonly requestsPerMinute?: number } = {}) =>
  Effect.gen(function* () {
    const server = yield* openAiServer
    let key = "first"
    const built = yield* Layer.build(
      layer({
        key: () => Redacted.make(key),
        url: server.url,
        models: ["large", "small"],
        requestsPerMinute: options.requestsPerMinute ?? 6_000,
        toolsOf: () => [{ name: "calculate", description: "Calculates.", input: "An expression." }],
        limits: {
          silence: Duration.millis(800),
          patience: Duration.seconds(1),
          keyPatience: Duration.seconds(2),
          queue: Duration.millis(300)
        }
      }).pipe(Layer.provide(FetchHttpClient.layer))
    )
    const model = yield* Effect.provide(Model, built)
    const request: ModelRequest = { model: "large", message: "my words", idempotencyKey: "run/model" }
    return {
      ...server,
      model,
      request,
      rotate: (to: string) => {
        key = to
      },
      answer: (changes: Partial<ModelRequest> = {}) =>
        Stream.runCollect(model.answer({ ...request, ...changes }, 1)).pipe(Effect.map((pieces) => [...pieces])),
      asksOf: () => server.asked.map(({ body }) => body.model)
    }
  })

it.scopedLive("streams the pieces of an answer as they come, and passes over events that it does not know", () =>
  Effect.gen(function* () {
    const { answer, asked } = yield* world()
    expect(yield* answer()).toEqual(["Hello", " there"])
    expect(asked[0]?.body).toMatchObject({ model: "large", stream: true })
    expect(asked[0]?.headers["idempotency-key"]).toBe("run/model/large/0")
  })
)

it.scopedLive("plans the calls of the model's answer in order, and a person's approval", () =>
  Effect.gen(function* () {
    const { answer, asked, model, request, script } = yield* world()
    script({
      calls: [
        { name: "calculate", arguments: JSON.stringify({ input: "6*7" }) },
        { name: "ask_for_approval", arguments: JSON.stringify({ reason: "It costs money." }) },
        { name: "calculate", arguments: JSON.stringify({ input: "1", tenantId: "other" }) }
      ]
    })
    expect(yield* model.plan(request)).toEqual({
      calls: [
        { call: "1", tool: "calculate", input: "6*7" },
        { call: "2", tool: "calculate", input: "1" }
      ],
      approval: "It costs money."
    })
    expect(asked[0]?.body.tools?.map(({ name }) => name)).toEqual(["calculate", "ask_for_approval"])
    expect(asked[0]?.headers["idempotency-key"]).toBe("run/model/large")
    // The provider's count, of a plan and of an answer, and of the model that gave it.
    const used: Array<object> = []
    const onUsed = (all: object) => void used.push(all)
    yield* model.plan({ ...request, onUsed })
    script({ status: 500 }, { status: 500 }, { text: ["ok"] })
    yield* answer({ onUsed })
    expect(used).toEqual(["large", "small"].map((name) => ({ model: name, inputTokens: 3, outputTokens: 5 })))
  })
)

it.scopedLive("asks the same model again after a short Retry-After", () =>
  Effect.gen(function* () {
    const { answer, asksOf, script } = yield* world()
    script({ status: 429, headers: { "retry-after-ms": "300" } }, { text: ["ok"] })
    const [took, pieces] = yield* Effect.timed(answer())
    expect(pieces).toEqual(["ok"])
    expect(asksOf()).toEqual(["large", "large"])
    expect(Duration.toMillis(took)).toBeGreaterThanOrEqual(290)
  })
)

it.scopedLive("asks the next model at once when Retry-After is long", () =>
  Effect.gen(function* () {
    const { answer, asksOf, script } = yield* world()
    script({ status: 429, headers: { "retry-after": "60" } }, { text: ["ok"] })
    expect(yield* answer()).toEqual(["ok"])
    expect(asksOf()).toEqual(["large", "small"])
  })
)

it.scopedLive("falls back after 5xx, after silence and after a stream that breaks off before any text", () =>
  Effect.gen(function* () {
    const { answer, asked, asksOf, script } = yield* world()
    for (const broken of [
      { status: 503 },
      "silence",
      { text: [], ending: "cut" },
      { text: [], ending: "failed" }
    ] as const) {
      script(broken, broken, { text: ["from the other"] })
      const answering: Array<string> = []
      expect(yield* answer({ onAnswering: (model) => answering.push(model) })).toEqual(["from the other"])
      expect(answering).toEqual(["small"])
      expect(asksOf().slice(-3)).toEqual(["large", "large", "small"])
    }
    expect(asked.at(-1)?.headers["idempotency-key"]).toBe("run/model/small/0")
  })
)

it.scopedLive("fails for another try when all models fail, and begins with the model that the run names", () =>
  Effect.gen(function* () {
    const { answer, asksOf, script } = yield* world()
    script({ status: 500 })
    const failure = yield* Effect.flip(answer({ model: "small" }))
    expect(failure).toMatchObject({ retryable: true })
    expect(asksOf()).toEqual(["small", "small", "large", "large"])
  })
)

it.scopedLive("never mixes two answers: after text it fails, and the next attempt goes on where it ended", () =>
  Effect.gen(function* () {
    const { answer, asked, asksOf, script } = yield* world()
    for (const ending of ["silence", "cut", "failed"] as const) {
      script({ text: ["Hel"], ending })
      expect(yield* Effect.flip(answer())).toMatchObject({ retryable: true })
      expect(asksOf()).toHaveLength(asked.length)
      expect(asksOf().at(-1)).toBe("large")
    }
    expect(asked).toHaveLength(3)
    script({ text: ["lo", " there"] })
    expect(yield* answer({ written: "Hel" })).toEqual(["Hel", "lo", " there"])
    expect(
      asked
        .at(-1)
        ?.body.input.map(({ content, role }) => [role, content])
        .slice(0, 2)
    ).toEqual([
      ["user", "my words"],
      ["assistant", "Hel"]
    ])
    expect(asked.at(-1)?.headers["idempotency-key"]).toBe("run/model/large/3")
  })
)

it.scopedLive("fails for good, without the provider's words, when the request itself is refused", () =>
  Effect.gen(function* () {
    const { answer, asksOf, script } = yield* world()
    script({ status: 400 })
    const failure = yield* Effect.flip(answer())
    expect(failure.retryable).toBe(false)
    expect(failure.message).not.toContain("my words")
    expect(asksOf()).toEqual(["large"])
    expect(yield* Effect.flip(answer({ model: "unheard-of" }))).toMatchObject({
      message: 'There is no model "unheard-of" here; there are local, large, small.',
      retryable: false
    })
  })
)

it.scopedLive("outlives a rotation of the key in either order, under load", () =>
  Effect.gen(function* () {
    const { answer, asked, keys, refused, rotate } = yield* world()
    let rotated = false
    const client = Effect.gen(function* () {
      const answers: Array<string> = []
      while (!rotated) answers.push((yield* answer()).join(""))
      return answers
    })
    const load = yield* Effect.forkScoped(Effect.all([client, client, client], { concurrency: 3 }))
    const untilUsed = (key: string) =>
      until(
        `requests with the ${key} key`,
        Effect.sync(() => asked.at(-1)?.headers.authorization),
        (used) => used === `Bearer ${key}`
      )
    const untilRefused = Effect.suspend(() => {
      const before = refused()
      return until(
        "the provider refuses a key",
        Effect.sync(() => refused()),
        (count) => count > before
      )
    })
    yield* until(
      "requests with the first key",
      Effect.sync(() => asked.length),
      (count) => count > 6
    )
    // The provider first, then the file.
    keys.clear()
    keys.add("second")
    yield* untilRefused
    rotate("second")
    yield* untilUsed("second")
    // The file first, then the provider, which knows both for a while.
    rotate("third")
    yield* untilRefused
    keys.add("third")
    yield* untilUsed("third")
    rotated = true
    const answers = (yield* Fiber.join(load)).flat()
    expect(answers.length).toBeGreaterThan(6)
    expect(new Set(answers)).toEqual(new Set(["Hello there"]))
  })
)

it.scopedLive("gives up a key that stays refused", () =>
  Effect.gen(function* () {
    const { answer, keys } = yield* world()
    keys.clear()
    expect(yield* Effect.flip(answer())).toEqual(
      expect.objectContaining({ message: "The model's provider refuses the key.", retryable: false })
    )
  })
)

it.scopedLive("keeps to the rate, and tells those whose turn does not come in time", () =>
  Effect.gen(function* () {
    const { answer, asked } = yield* world({ requestsPerMinute: 3 })
    const outcomes = yield* Effect.forEach(Array.from({ length: 5 }), () => Effect.either(answer()), {
      concurrency: "unbounded"
    })
    expect(outcomes.filter(({ _tag }) => _tag === "Right")).toHaveLength(3)
    expect(asked).toHaveLength(3)
  })
)
