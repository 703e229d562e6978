/**
 * The process of a runner pod. Configuration comes from its environment (`runtime/Settings.ts`).
 *
 * Ends with 0 after SIGTERM, with 12 when its configuration is unusable, with 1 when it fails.
 */
import { enableCompileCache } from "node:module"

// Before anything else is loaded: V8 then keeps what it compiled for the next start (NODE_COMPILE_CACHE says where).
enableCompileCache()

const [{ NodeRuntime }, { Effect, Either, Layer, Logger }, { ExitCode }, { release }, RunnerProcess, { readRunner }] =
  await Promise.all([
    import("@effect/platform-node"),
    import("effect"),
    import("../domain/ExitCode.ts"),
    import("../runtime/ImageRoot.ts"),
    import("../runtime/RunnerProcess.ts"),
    import("../runtime/Settings.ts")
  ])

const settings = readRunner(process.env)
if (Either.isLeft(settings)) {
  process.stderr.write(`${settings.left.message}\n`)
  process.exit(ExitCode.preconditionMissing)
}
NodeRuntime.runMain(Layer.launch(RunnerProcess.layer(settings.right, release())).pipe(Effect.provide(Logger.json)), {
  disablePrettyLogger: true
})
