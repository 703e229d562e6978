/** The host of `deliver serve`: `rehearsal-host.ts FOLDER ROOT CACHE`. Started by the server, outlives it. */
import { Effect, Fiber } from "effect"
import * as HostServer from "../rehearsal/host/HostServer.ts"

/** A host that nobody speaks to any more ends by itself. */
const IDLE_MS = 15 * 60_000

const [folder, root, cache] = process.argv.slice(2)
if (folder === undefined || root === undefined || cache === undefined) {
  process.stderr.write("usage: rehearsal-host.ts FOLDER ROOT CACHE\n")
  process.exit(2)
}
const fiber = Effect.runFork(HostServer.run({ folder, root, cache, idleMs: IDLE_MS }))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGTERM", stop)
process.once("SIGINT", stop)
Fiber.join(fiber)
  .pipe(Effect.catchAllCause((cause) => Effect.sync(() => console.error(String(cause)))))
  .pipe(Effect.runFork)
