/** A model with its spans, its metrics and its name on every log line, whichever model it is. */
import { Clock, Effect, Exit, Layer, Metric, Stream } from "effect"
import { modelCalls, modelSeconds } from "../../domain/Metrics.ts"
import { Model, type ModelRequest } from "./Model.ts"

/** Clients choose the name of a model: names beyond the first few share a label. */
const MAX_NAMES = 20
const names = new Set<string>()
const nameOf = (model: string): string => {
  if (names.size < MAX_NAMES) names.add(model)
  return names.has(model) ? model : "other"
}

const outcomeOf = (exit: Exit.Exit<unknown, { readonly retryable: boolean }>): string =>
  Exit.match(exit, {
    onSuccess: () => "ok",
    onFailure: (cause) => (cause._tag === "Fail" && !cause.error.retryable ? "failed" : "retryable")
  })

const record = (request: ModelRequest, startedAt: number, exit: Exit.Exit<unknown, { readonly retryable: boolean }>) =>
  Effect.gen(function* () {
    const now = yield* Clock.currentTimeMillis
    const name = nameOf(request.model)
    const calls = Metric.tagged(modelCalls, "model", name)
    yield* Metric.increment(Metric.tagged(calls, "outcome", outcomeOf(exit)))
    yield* Metric.update(Metric.tagged(modelSeconds, "model", name), (now - startedAt) / 1_000)
  })

const about = ({ model }: ModelRequest) => ({ attributes: { "gen_ai.request.model": model }, captureStackTrace: false })

export const layer: <E, R>(model: Layer.Layer<Model, E, R>) => Layer.Layer<Model, E, R> = (model) =>
  Layer.effect(
    Model,
    Effect.map(Model, (inner) =>
      Model.of({
        countTokens: inner.countTokens,
        plan: (request) =>
          Effect.flatMap(Clock.currentTimeMillis, (startedAt) =>
            inner.plan(request).pipe(Effect.onExit((exit) => record(request, startedAt, exit)))
          ).pipe(Effect.withSpan("model.plan", about(request)), Effect.annotateLogs("model", request.model)),
        answer: (request, attempt) =>
          Stream.unwrap(
            Effect.map(Clock.currentTimeMillis, (startedAt) =>
              inner.answer(request, attempt).pipe(Stream.ensuringWith((exit) => record(request, startedAt, exit)))
            )
          ).pipe(Stream.withSpan("model.answer", about(request)))
      })
    )
  ).pipe(Layer.provide(model))
