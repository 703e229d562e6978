/**
 * What the edge asks a gateway for, at `/rpc`: the operations on runs, for a user whose token the edge passes on.
 *
 * A call carries two tokens, and the gateway verifies both: in `authorization` the edge's own, which says that it is an edge,
 * and in `x-user-token` the user's, from whose claims alone the tenant comes. So an edge that is taken over can do no more
 * than the users who came through it, and no header says who somebody is.
 */
import { Rpc, RpcGroup, RpcMiddleware } from "@effect/rpc"
import { Schema } from "effect"
import { EventsPage, MAX_EVENTS_PAGE, StartRun } from "./Api.ts"
import { CurrentCaller } from "./Caller.ts"
import { RunId, SessionId } from "./Ids.ts"
import { problemSchema } from "./Problem.ts"
import { RunView } from "./Run.ts"

export const RPC_PATH = "/rpc"
export const USER_TOKEN_HEADER = "x-user-token"

/** Verifies both tokens and provides the user. */
export class OnBehalf extends RpcMiddleware.Tag<OnBehalf>()("domain/OnBehalf", {
  provides: CurrentCaller,
  failure: Schema.Union(
    problemSchema("not-signed-in"),
    problemSchema("tenant-missing"),
    problemSchema("identity-unavailable")
  )
}) {}

const anyOperation = [
  problemSchema("rate-limited"),
  problemSchema("agents-unavailable"),
  problemSchema("database-unavailable")
] as const

const run = { runId: RunId }
const ofRun = Schema.Union(problemSchema("run-not-found"), ...anyOperation)

export class EdgeRpcs extends RpcGroup.make(
  Rpc.make("Start", {
    payload: { sessionId: SessionId, request: StartRun },
    success: RunView,
    error: Schema.Union(
      problemSchema("run-in-other-session"),
      problemSchema("run-differs"),
      problemSchema("too-many-open-runs"),
      problemSchema("token-budget-spent"),
      problemSchema("system-busy"),
      ...anyOperation
    )
  }),
  Rpc.make("Status", { payload: run, success: RunView, error: ofRun }),
  Rpc.make("Events", {
    payload: {
      ...run,
      after: Schema.NonNegativeInt,
      limit: Schema.Int.pipe(Schema.between(1, MAX_EVENTS_PAGE))
    },
    success: EventsPage,
    error: ofRun
  }),
  Rpc.make("Cancel", { payload: run, success: RunView, error: ofRun }),
  Rpc.make("Approve", {
    payload: run,
    success: RunView,
    error: Schema.Union(problemSchema("run-finished"), problemSchema("run-not-waiting"), ofRun)
  })
).middleware(OnBehalf) {}
