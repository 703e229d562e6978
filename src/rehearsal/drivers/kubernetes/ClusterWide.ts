/**
 * Objects that belong to no namespace and so don't end with one: priority classes of the platform. What a target made of them
 * is removed when its scope closes; what was there before, or was made anew by somebody since, stays.
 */
import { Effect, type Scope } from "effect"
import type { KubeObject } from "../Driver.ts"
import { type Api, type ApiError, pathOf, type Resource } from "./Api.ts"
import type { Meta } from "./Json.ts"

export interface ClusterWide {
  /** Runs `apply`, and keeps in mind to remove the object at the end when it was not there before. */
  readonly making: <E>(
    object: KubeObject,
    resource: Resource,
    apply: Effect.Effect<void, E>
  ) => Effect.Effect<void, E | ApiError>
}

export const make = (api: Api): Effect.Effect<ClusterWide, never, Scope.Scope> =>
  Effect.gen(function* () {
    const made: Array<{ readonly path: string; readonly uid: string }> = []
    const find = (path: string) =>
      api.call(path).pipe(
        Effect.map((found) => (found as unknown as { readonly metadata: Meta }).metadata.uid),
        Effect.catchIf(
          ({ status }) => status === 404,
          () => Effect.succeed(undefined)
        )
      )
    yield* Effect.addFinalizer(() =>
      Effect.forEach(
        made,
        ({ path, uid }) =>
          api
            .call(path, { method: "DELETE", body: { preconditions: { uid } } })
            .pipe(
              Effect.catchAll(({ status, message }) =>
                status === 404 || status === 409 ? Effect.void : Effect.logWarning(`${path} stays behind: ${message}`)
              )
            ),
        { discard: true }
      )
    )
    return {
      making: (object, resource, apply) => {
        const path = pathOf(resource, "", object.metadata.name)
        return Effect.gen(function* () {
          const before = yield* find(path)
          yield* apply
          const uid = yield* find(path)
          if (before === undefined && uid !== undefined) made.push({ path, uid })
        })
      }
    }
  })
