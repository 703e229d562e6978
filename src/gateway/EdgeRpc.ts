/** The gateway's side of `domain/EdgeRpcs.ts`. Without a list of edges there is no `/rpc`. */
import type { HttpApp } from "@effect/platform"
import { RpcSerialization, RpcServer } from "@effect/rpc"
import { Context, Effect, Layer, type Scope } from "effect"
import { CurrentCaller } from "../domain/Caller.ts"
import { EdgeRpcs, OnBehalf, USER_TOKEN_HEADER } from "../domain/EdgeRpcs.ts"
import * as Identity from "./Identity.ts"
import { Operations } from "./Operations.ts"

export interface EdgeAccess {
  /** Service accounts, by email, that may pass users on. */
  readonly callers: ReadonlyArray<string>
  /** Who signs users' tokens, and the audience that they have: the edge's, not the gateway's. */
  readonly users: Identity.IdentityConfig
}

export class EdgeAccessConfig extends Context.Tag("gateway/EdgeAccess")<EdgeAccessConfig, EdgeAccess>() {}

const onBehalf = Layer.effect(
  OnBehalf,
  Effect.gen(function* () {
    const services = yield* Identity.Identity
    const { callers, users } = yield* EdgeAccessConfig
    const identity = Identity.make(users)
    return OnBehalf.of(({ headers }) =>
      Effect.gen(function* () {
        const { email } = yield* services.verifyService(
          /^Bearer (.+)$/i.exec(headers["authorization"] ?? "")?.[1] ?? ""
        )
        if (!callers.includes(email)) {
          yield* Effect.logWarning("a service that is no edge asked on behalf of a user").pipe(
            Effect.annotateLogs({ email })
          )
          return yield* Identity.notSignedIn
        }
        return yield* identity.verify(headers[USER_TOKEN_HEADER] ?? "")
      })
    )
  })
)

const handlers = EdgeRpcs.toLayer(
  Effect.gen(function* () {
    const operations = yield* Operations
    return EdgeRpcs.of({
      Start: ({ sessionId, request }) =>
        Effect.flatMap(CurrentCaller, (caller) => operations.start(caller, sessionId, request)),
      Status: ({ runId }) => Effect.flatMap(CurrentCaller, (caller) => operations.status(caller, runId)),
      Events: ({ runId, after, limit }) =>
        Effect.flatMap(CurrentCaller, (caller) => operations.events(caller, runId, after, limit)),
      Cancel: ({ runId }) => Effect.flatMap(CurrentCaller, (caller) => operations.cancel(caller, runId)),
      Approve: ({ runId }) => Effect.flatMap(CurrentCaller, (caller) => operations.approve(caller, runId))
    })
  })
)

/** Answers calls; `undefined` when nobody may make any. */
export const rpcApp = Effect.gen(function* () {
  if ((yield* EdgeAccessConfig).callers.length === 0) return undefined
  const context = yield* Layer.build(Layer.mergeAll(handlers, onBehalf, RpcSerialization.layerJson))
  // A defect of one call is that call's; the others of all users go on.
  const app: HttpApp.Default<never, Scope.Scope> = yield* RpcServer.toHttpApp(EdgeRpcs, {
    disableFatalDefects: true
  }).pipe(Effect.provide(context))
  return app
})
