/** The hooks of the rehearsal's git remote: `rehearsal-push.ts HOOK ROOT CACHE BARE`, with git's lines on its input. */
import { readFileSync } from "node:fs"
import { Effect } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"
import * as Receive from "../rehearsal/push/Receive.ts"

const [hook, root, cache, bare] = process.argv.slice(2)
if (
  (hook !== "pre-receive" && hook !== "post-receive") ||
  root === undefined ||
  cache === undefined ||
  bare === undefined
) {
  process.stderr.write("usage: rehearsal-push.ts pre-receive|post-receive ROOT CACHE BARE\n")
  process.exit(ExitCode.usage)
}
const updates = readFileSync(0, "utf8")
const quarantine = process.env["GIT_QUARANTINE_PATH"]
// Whatever runs git from here on means another repository than the one that receives.
for (const name of Object.keys(process.env)) if (name.startsWith("GIT_")) delete process.env[name]
const say = (line: string) => void process.stdout.write(`${line}\n`)

const asked =
  hook === "pre-receive"
    ? Receive.receive({ root, cache, bare, updates, quarantine, say })
    : Receive.show({ cache, bare, say })

Effect.runPromise(asked).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = ExitCode.refused
})
