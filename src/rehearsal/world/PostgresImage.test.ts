import { spawnSync } from "node:child_process"
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as PostgresImage from "./PostgresImage.ts"

const REFERENCE = `registry:5000/rehearsal-postgres@sha256:${"ab".repeat(32)}`

it.scoped("hands the binaries of a rehearsal on processes to the command, with a start that a shell can read", () =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "postgres-image-"))),
      (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
    )
    const command = join(folder, "build-image")
    writeFileSync(command, `#!/bin/sh\necho "$@" > ${folder}/call\necho ${REFERENCE}\n`)
    chmodSync(command, 0o755)

    expect(yield* PostgresImage.build({ command, folder })).toBe(REFERENCE)
    const context = join(folder, "postgres")
    expect(readFileSync(join(folder, "call"), "utf8").trim()).toBe(`${context} rehearsal-postgres:16`)
    for (const name of ["postgres", "initdb"]) expect(existsSync(join(context, "native", "bin", name))).toBe(true)
    // What COPY takes must work where it lands: no link of it leads out of the image.
    const version = spawnSync(join(context, "native", "bin", "postgres"), ["--version"], { encoding: "utf8" })
    expect(version.stdout).toMatch(/^postgres \(PostgreSQL\) 16\./)
    expect(spawnSync("sh", ["-n", join(context, "start.sh")]).status).toBe(0)
  })
)
