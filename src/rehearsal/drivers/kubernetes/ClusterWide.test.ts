import { expect, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { type Api, ApiError } from "./Api.ts"
import * as ClusterWide from "./ClusterWide.ts"

const missing = new ApiError({ status: 404, reason: "NotFound", message: "not found", causes: [] })
const resource = { base: "/apis/scheduling.k8s.io/v1", plural: "priorityclasses", namespaced: false }
const named = (name: string) => ({ apiVersion: "scheduling.k8s.io/v1", kind: "PriorityClass", metadata: { name } })

it.effect("removes at the end what it made, exactly that, and leaves what was there before", () =>
  Effect.gen(function* () {
    const there = new Map([["theirs", "uid-theirs"]])
    const removed: Array<unknown> = []
    const api = {
      call: (path, call) =>
        Effect.suspend(() => {
          const uid = there.get(path.split("/").at(-1)!)
          if (uid === undefined) return missing
          if (call?.method === "DELETE") removed.push([path, call.body])
          return Effect.succeed({ metadata: { uid } })
        })
    } as Pick<Api, "call"> as Api
    const scope = yield* Scope.make()
    const { making } = yield* ClusterWide.make(api).pipe(Scope.extend(scope))
    const apply = (name: string) =>
      making(
        named(name),
        resource,
        Effect.sync(() => void (there.has(name) || there.set(name, `uid-${name}`)))
      )
    // A release that is applied again makes nothing anew.
    for (const name of ["theirs", "own", "own"]) yield* apply(name)
    expect(removed).toEqual([])
    yield* Scope.close(scope, Exit.void)
    expect(removed).toEqual([["/apis/scheduling.k8s.io/v1/priorityclasses/own", { preconditions: { uid: "uid-own" } }]])
  })
)
