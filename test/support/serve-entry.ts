/** The server that `rehearsal-server.ts` starts and kills. */
import { join } from "node:path"
import { Effect } from "effect"
import * as Serve from "../../src/rehearsal/api/Serve.ts"
import * as KillSwitch from "./kill-switch.ts"

KillSwitch.install()

const folder = process.argv[2]!
const root = join(import.meta.dirname, "..", "..")
Effect.runPromise(
  Serve.serve(
    {
      // Not the repository: its `k8s/platform` would come along. The tools lie on PATH.
      root: folder,
      cache: join(folder, "cache"),
      port: 0,
      token: true,
      clockScale: 60,
      hostEntry: join(root, "src", "bin", "rehearsal-host.ts"),
      pushEntry: join(root, "src", "bin", "rehearsal-push.ts")
    },
    (address) => Effect.sync(() => process.stdout.write(`ready ${JSON.stringify(address)}\n`))
  )
).catch((error) => {
  process.stderr.write(`${error}\n`)
  process.exit(1)
})
