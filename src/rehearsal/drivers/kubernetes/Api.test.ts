import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { delimiter, join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { open } from "./Api.ts"

/** Writes its process id, says that it serves, and does nothing. */
const KUBECTL = `#!/bin/sh
echo $$ > "$(dirname "$0")/pid"
echo "Starting to serve on nothing"
exec tail -f /dev/null
`

it.scoped(
  "keeps its way to the cluster when a terminal interrupts the whole group: what it made must still be removed",
  () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "kubectl-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      writeFileSync(join(folder, "kubectl"), KUBECTL)
      chmodSync(join(folder, "kubectl"), 0o755)
      const path = process.env["PATH"]
      yield* Effect.acquireRelease(
        Effect.sync(() => (process.env["PATH"] = `${folder}${delimiter}${path}`)),
        () => Effect.sync(() => (process.env["PATH"] = path))
      )
      yield* open("kind")
      const pid = Number(readFileSync(join(folder, "pid"), "utf8"))
      // Signal 0 to the group of that number: there is one only when kubectl leads it.
      expect(process.kill(-pid, 0)).toBe(true)
    })
)
