/** The models of a runner and what its tools may do, as `ModelSettings.ts` says. */
import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer } from "effect"
import * as LocalEmbedding from "../agent/model/LocalEmbedding.ts"
import * as LocalModel from "../agent/model/LocalModel.ts"
import { Model } from "../agent/model/Model.ts"
import * as Observed from "../agent/model/Observed.ts"
import { type Policies, ToolPolicies } from "../agent/tools/Policy.ts"
import { specsOf } from "../agent/tools/Tools.ts"
import type { Embedding } from "../domain/Embedding.ts"
import type { ModelSettings, OpenAiSettings } from "./ModelSettings.ts"
import * as Secrets from "./Secrets.ts"

/** Loaded only where there is a key: the client's schemas are as much code as the rest of a runner. */
const openAi = (settings: OpenAiSettings, policies: Policies): Layer.Layer<Model> =>
  Layer.unwrapEffect(
    Effect.map(
      Effect.promise(() => import("../agent/model/OpenAiModel.ts")),
      (OpenAiModel) =>
        OpenAiModel.layer({
          ...settings,
          key: Secrets.file(settings.keyFile).current,
          toolsOf: (tenantId) => specsOf(policies, tenantId)
        }).pipe(Layer.provide(FetchHttpClient.layer))
    )
  )

/** The model named `local` stays, for smoke and drills, which must cost nothing and tell the same every time. */
const withLocal = (remote: Layer.Layer<Model>): Layer.Layer<Model> =>
  Layer.effect(
    Model,
    Effect.gen(function* () {
      const local = yield* Effect.provide(Model, LocalModel.layer)
      const other = yield* Model
      const of = (model: string) => (model === "local" ? local : other)
      return Model.of({
        countTokens: other.countTokens,
        plan: (request) => of(request.model).plan(request),
        answer: (request, attempt) => of(request.model).answer(request, attempt)
      })
    })
  ).pipe(Layer.provide(remote))

/** The models, and what tools may do. */
export const layer = (settings: ModelSettings): Layer.Layer<Model> =>
  Layer.unwrapEffect(
    Effect.map(ToolPolicies, (fallback) =>
      Observed.layer(
        settings.openAi === undefined
          ? LocalModel.layer
          : withLocal(openAi(settings.openAi, settings.policies ?? fallback))
      )
    )
  )

const openAiEmbedding = ({ keyFile, url, embeddingModel }: OpenAiSettings): Layer.Layer<Embedding> =>
  Layer.unwrapEffect(
    Effect.map(
      Effect.promise(() => import("../agent/model/OpenAiEmbedding.ts")),
      (OpenAiEmbedding) =>
        OpenAiEmbedding.layer({ url, key: Secrets.file(keyFile).current, model: embeddingModel }).pipe(
          Layer.provide(FetchHttpClient.layer)
        )
    )
  )

/** What makes the vectors of memories. */
export const embedding = ({ openAi }: ModelSettings): Layer.Layer<Embedding> =>
  openAi === undefined || openAi.embeddingModel === "local" ? LocalEmbedding.layer : openAiEmbedding(openAi)

export const policies = (settings: ModelSettings): Layer.Layer<never> =>
  settings.policies === undefined ? Layer.empty : Layer.succeed(ToolPolicies, settings.policies)
