import { describe, expect, it } from "@effect/vitest"
import { Cause, Effect, FastCheck as fc, Logger, LogLevel, Schema } from "effect"
import { vi } from "vitest"
import { labels, layer, logger, scrub } from "./Logging.ts"

/** Runs the effect and gives back what it logged, each line decoded. */
const logged = (effect: Effect.Effect<unknown>, project?: string) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const capture = Logger.map(
      logger({ pod: "effect-agent-runtime-0", release: "abc123", project }),
      (line) => void lines.push(line)
    )
    yield* effect.pipe(
      Effect.provide(Logger.replace(Logger.defaultLogger, capture)),
      Logger.withMinimumLogLevel(LogLevel.All)
    )
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  })

const labelsOf = (entry: Record<string, unknown> | undefined) => entry?.["logging.googleapis.com/labels"]

describe("what Cloud Logging reads", () => {
  it.effect("says severity, message, time and who it is about", () =>
    Effect.gen(function* () {
      const [warning, debug, fatal] = yield* logged(
        Effect.all([
          Effect.logWarning("the database did not answer in time").pipe(
            Effect.annotateLogs({
              tenantId: "acme",
              session: "s1",
              runId: "r1",
              activity: "CallModel",
              waitedMillis: 12
            })
          ),
          Effect.logDebug("one", "two"),
          Effect.logFatal("the end")
        ])
      )
      expect(warning).toMatchObject({
        severity: "WARNING",
        message: "the database did not answer in time",
        fields: { waitedMillis: 12 }
      })
      expect(new Date(String(warning?.["time"])).getTime()).not.toBeNaN()
      expect(labelsOf(warning)).toEqual({
        tenant: "acme",
        session: "s1",
        run: "r1",
        activity: "CallModel",
        release: "abc123",
        pod: "effect-agent-runtime-0"
      })
      expect(debug).toMatchObject({ severity: "DEBUG", message: "one two" })
      expect(fatal).toMatchObject({ severity: "CRITICAL" })
    })
  )

  it.effect("makes a label of every name that filters and log metrics use", () =>
    Effect.gen(function* () {
      const values = Object.fromEntries(labels.map((name) => [name, `the ${name}`]))
      const [entry] = yield* logged(Effect.annotateLogs(Effect.logInfo("x"), values))
      expect(labelsOf(entry)).toEqual(values)
      expect(entry).not.toHaveProperty("fields")
    })
  )

  it.effect("names the span in which it was said", () =>
    Effect.gen(function* () {
      const span = yield* Effect.makeSpan("a step")
      const [entry] = yield* logged(Effect.withParentSpan(Effect.logInfo("inside"), span), "agents-prod")
      expect(entry).toMatchObject({
        "logging.googleapis.com/trace": `projects/agents-prod/traces/${span.traceId}`,
        "logging.googleapis.com/spanId": span.spanId
      })
      const [outside] = yield* logged(Effect.logInfo("outside"))
      expect(outside).not.toHaveProperty("logging.googleapis.com/trace")
    })
  )

  it.effect("puts a cause where Error Reporting looks for it", () =>
    Effect.gen(function* () {
      const [entry] = yield* logged(Effect.logError("A run met a defect", Cause.die(new Error("out of luck"))))
      expect(entry).toMatchObject({ severity: "ERROR", message: "A run met a defect" })
      expect(entry?.["stack_trace"]).toContain("out of luck")
    })
  )
})

it.effect("writes each line once, however often a process was given its logger", () =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const written = vi.spyOn(console, "log").mockImplementation((line: string) => void lines.push(line))
    const given = layer({ pod: "p", release: "r" })
    yield* Effect.logInfo("once").pipe(Effect.provide(given), Effect.provide(given))
    written.mockRestore()
    expect(lines.map((line) => (JSON.parse(line) as { message: string }).message)).toEqual(["once"])
  })
)

describe("what is never logged", () => {
  const jwt = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJqYW5lIn0.c2lnbmF0dXJl"
  const secrets = [
    jwt,
    "sk-proj-abcdefgh12345678",
    "hunter2hunter2",
    "jane.doe@example.com",
    "my card is 4111 1111 1111 1111"
  ]
  const places: ReadonlyArray<readonly [string, Effect.Effect<unknown>]> = [
    ["a token in a message", Effect.logInfo(`refused ${jwt}`)],
    ["a header in a message", Effect.logInfo(`authorization: Bearer ${jwt}`)],
    ["a key in an error", Effect.logError(new Error("401 for sk-proj-abcdefgh12345678"))],
    [
      "a connection string in a cause",
      Effect.logError("x", Cause.fail(new Error("postgres://runtime:hunter2hunter2@db/x")))
    ],
    ["a password in an object", Effect.logInfo({ user: "runtime", password: "hunter2hunter2" })],
    ["an address in a defect", Effect.logError("x", Cause.die(new Error("no mailbox jane.doe@example.com")))],
    [
      "a person's words as an annotation",
      Effect.annotateLogs(Effect.logInfo("x"), "message", "my card is 4111 1111 1111 1111")
    ],
    ["who approved, as an annotation", Effect.annotateLogs(Effect.logInfo("x"), "by", "jane.doe@example.com")],
    [
      "a value that a decoder quotes",
      Effect.catchAllCause(
        Effect.orDie(
          Schema.decodeUnknown(Schema.Struct({ text: Schema.Number }))({ text: "my card is 4111 1111 1111 1111" })
        ),
        (cause) => Effect.logError("a row did not decode", cause)
      )
    ],
    ["a row that Postgres quotes", Effect.logError("Key (email)=(my card is 4111 1111 1111 1111) already exists")]
  ]

  for (const [what, effect] of places) {
    it.effect(what, () =>
      Effect.gen(function* () {
        const lines = yield* logged(effect)
        expect(lines).toHaveLength(1)
        const text = JSON.stringify(lines)
        for (const secret of secrets) expect(text).not.toContain(secret)
      })
    )
  }

  it("takes a token out of whatever text it stands in", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), (before, after) => {
        expect(scrub(`${before} ${jwt} ${after}`)).not.toContain(jwt)
      })
    )
  })

  it("leaves alone what tells nobody anything", () => {
    for (const text of [
      "Shards held 0.42 s after process start",
      "Port 8080 of 127.3.0.9 is taken by another process. End it, or set HTTP_PORT or LISTEN_HOST to another.",
      "effect-agent-runtime-0.effect-agent-runners.agents.svc.cluster.local:50000"
    ]) {
      expect(scrub(text)).toBe(text)
    }
  })
})
