/** The hook of the rehearsal's git remote: `rehearsal-push.ts ROOT CACHE BARE`, with git's lines on its input. */
import { readFileSync } from "node:fs"
import { Effect } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"
import * as Receive from "../rehearsal/push/Receive.ts"

const [root, cache, bare] = process.argv.slice(2)
if (root === undefined || cache === undefined || bare === undefined) {
  process.stderr.write("usage: rehearsal-push.ts ROOT CACHE BARE\n")
  process.exit(ExitCode.usage)
}
const updates = readFileSync(0, "utf8")
const quarantine = process.env["GIT_QUARANTINE_PATH"]
// Whatever runs git from here on means another repository than the one that receives.
for (const name of Object.keys(process.env)) if (name.startsWith("GIT_")) delete process.env[name]
const say = (line: string) => void process.stdout.write(`${line}\n`)

Effect.runPromise(Receive.receive({ root, cache, bare, updates, quarantine, say })).catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : error}\n`)
  process.exitCode = ExitCode.refused
})
