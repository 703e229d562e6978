/**
 * The process of the edge on Cloud Run. Configuration comes from its environment (`gateway/edge/EdgeSettings.ts`).
 *
 * Ends with 0 after SIGTERM, with 12 when its configuration is unusable or its port is taken, with 1 when it fails.
 */
import { enableCompileCache } from "node:module"

// Before anything else is loaded: V8 then keeps what it compiled for the next start (NODE_COMPILE_CACHE says where).
enableCompileCache()

const [
  { NodeRuntime },
  { Cause, Effect, Either, Layer },
  { ExitCode },
  { release },
  Logging,
  Telemetry,
  Edge,
  { readEdge }
] = await Promise.all([
  import("@effect/platform-node"),
  import("effect"),
  import("../domain/ExitCode.ts"),
  import("../runtime/ImageRoot.ts"),
  import("../runtime/Logging.ts"),
  import("../runtime/Telemetry.ts"),
  import("../gateway/edge/Edge.ts"),
  import("../gateway/edge/EdgeSettings.ts")
])

const refuse = (message: string) => {
  process.stderr.write(`${message}\n`)
  process.exit(ExitCode.preconditionMissing)
}

const settings = readEdge(process.env)
if (Either.isLeft(settings)) {
  refuse(settings.left.message)
} else {
  const { name, serve } = settings.right
  NodeRuntime.runMain(
    Layer.launch(
      Layer.scopedDiscard(Edge.serve(serve)).pipe(
        Layer.provide(Edge.layer(serve)),
        Layer.provide(Telemetry.fromEnv(process.env, { service: "agent-edge", pod: name, release: release() }))
      )
    ).pipe(
      Effect.catchTag("ListenFailed", ({ message }) => Effect.sync(() => refuse(message))),
      Effect.tapErrorCause((cause) =>
        Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logFatal("The edge failed and ends", cause)
      ),
      Effect.provide(Logging.layer(Logging.fromEnv(process.env, release())))
    ),
    // Its own report would be a second one, and not in the form that is scrubbed.
    { disablePrettyLogger: true, disableErrorReporting: true }
  )
}
