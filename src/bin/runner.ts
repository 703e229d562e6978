/**
 * The process of a runner pod. Configuration comes from its environment (`runtime/Settings.ts`).
 *
 * Ends with 0 after SIGTERM, with 12 when its configuration is unusable, with 13 when its database holds open work that it does not
 * carry, with 1 when it fails.
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
  RunnerProcess,
  { readRunner },
  Answering
] = await Promise.all([
  import("@effect/platform-node"),
  import("effect"),
  import("../domain/ExitCode.ts"),
  import("../runtime/ImageRoot.ts"),
  import("../runtime/Logging.ts"),
  import("../runtime/RunnerProcess.ts"),
  import("../runtime/Settings.ts"),
  import("./answering.ts")
])

const settings = readRunner(process.env)
if (Either.isLeft(settings)) {
  process.stderr.write(`${settings.left.message}\n`)
  process.exit(ExitCode.preconditionMissing)
}

NodeRuntime.runMain(
  Layer.launch(
    Layer.merge(RunnerProcess.layer(settings.right, release()), Answering.layer(settings.right, release()))
  ).pipe(
    Effect.catchTag("WouldStrand", (error) =>
      Effect.zipRight(
        Effect.logFatal(error.message),
        Effect.sync(() => {
          process.stderr.write(`${error.message}\n`)
          process.exit(ExitCode.wouldStrand)
        })
      )
    ),
    Effect.tapErrorCause((cause) =>
      Cause.isInterruptedOnly(cause) ? Effect.void : Effect.logFatal("The runner failed and ends", cause)
    ),
    Effect.provide(Logging.layer(Logging.fromEnv(process.env, release())))
  ),
  // Its own report would be a second one, and not in the form that is scrubbed.
  { disablePrettyLogger: true, disableErrorReporting: true }
)
