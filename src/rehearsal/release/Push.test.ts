import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { push } from "./Push.ts"
import { Release } from "./Release.ts"

const DIGEST = `sha256:${"ab".repeat(32)}`

/** A built release, and a command that does what the shell lines say. */
const world = (script: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const folder = mkdtempSync(join(tmpdir(), "push-"))
      const write = (path: string, text: string) => {
        mkdirSync(join(folder, path, ".."), { recursive: true })
        writeFileSync(join(folder, path), text)
      }
      write("built/agents/app/runner.js", "runner")
      write("built/agents-smoke/smoke/Dockerfile", "FROM k6\n")
      write("built/agents-smoke/smoke/load.js", "load")
      write("build-image", `#!/bin/sh\necho "$@" >> ${folder}/calls\n${script}\n`)
      chmodSync(join(folder, "build-image"), 0o755)
      const release = Release.make({
        name: "r-1",
        commit: "1",
        images: { agents: "agents@sha256:1", "agents-smoke": "agents-smoke@sha256:2" },
        source: join(folder, "built", "source")
      })
      return { folder, release, options: { command: join(folder, "build-image"), folder: join(folder, "images") } }
    }),
    ({ folder }) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  )

it.scoped("hands each image's folder to the command, and takes the digest that it prints last", () =>
  Effect.gen(function* () {
    const { folder, release, options } = yield* world(`echo "step 1"; echo "registry:5000/\${2%:*}@${DIGEST}"`)
    const pushed = yield* push(release, options)
    expect(pushed).toMatchObject({
      name: "r-1",
      source: release.source,
      images: {
        agents: `registry:5000/agents@${DIGEST}`,
        "agents-smoke": `registry:5000/agents-smoke@${DIGEST}`
      }
    })
    const contexts = join(folder, "images", "r-1")
    expect(readFileSync(join(folder, "calls"), "utf8").trim().split("\n")).toEqual([
      `${contexts}/agents agents:r-1`,
      `${contexts}/agents-smoke agents-smoke:r-1`
    ])
    expect(readFileSync(join(contexts, "agents", "app", "runner.js"), "utf8")).toBe("runner")
    expect(readFileSync(join(contexts, "agents", "Dockerfile"), "utf8")).toContain("COPY app /app")
    expect(readFileSync(join(contexts, "agents-smoke", "Dockerfile"), "utf8")).toBe("FROM k6\n")
  })
)

it.scoped("says what the command should have printed, or why it failed", () =>
  Effect.gen(function* () {
    const tagged = yield* world("echo registry:5000/agents:r-1")
    const noDigest = yield* Effect.flip(push(tagged.release, tagged.options))
    expect(noDigest.message).toContain("registry:5000/agents:r-1")
    expect(noDigest.message).toContain("NAME@sha256:...")
    const broken = yield* world("echo 'no space left' >&2; exit 3")
    expect((yield* Effect.flip(push(broken.release, broken.options))).message).toContain("no space left")
  })
)
