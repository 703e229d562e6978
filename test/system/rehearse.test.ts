/** `deliver rehearse` as a person meets it when something is wrong: a message that names the thing and the way out. */
import { spawn } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { mkdir, readFile, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { claimSubnet } from "../../src/rehearsal/net/Loopback.ts"
import { binariesFrom, start } from "../../src/rehearsal/postgres/EmbeddedPostgres.ts"
import { type TestRepository, testRepository } from "../support/repository.ts"
import { until } from "../support/wait.ts"

interface Ended {
  readonly code: number | null
  readonly output: string
}

/** Starts the command in the repository; `MARK` in its environment, and so in that of all it starts, tells its processes. */
const deliver = (repository: TestRepository, args: ReadonlyArray<string>, mark = crypto.randomUUID()) => {
  const child = spawn(process.execPath, ["src/bin/deliver.ts", ...args], {
    cwd: repository.folder,
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, MARK: mark }
  })
  let output = ""
  child.stdout.on("data", (chunk) => (output += chunk))
  child.stderr.on("data", (chunk) => (output += chunk))
  const ended = new Promise<Ended>((resolve) => child.once("close", (code) => resolve({ code, output })))
  return { child, mark, output: () => output, ended: Effect.promise(() => ended) }
}

const processesWith = (mark: string): ReadonlyArray<string> =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "latin1").includes(`MARK=${mark}`)
      } catch {
        return false
      }
    })

describe("deliver rehearse", () => {
  it.scopedLive("says what is wrong before anything is built, started or written", () =>
    Effect.gen(function* () {
      const repository = yield* testRepository
      const refused = (args: ReadonlyArray<string>, code: number, ...words: ReadonlyArray<string>) =>
        deliver(repository, ["rehearse", ...args]).ended.pipe(
          Effect.map((ended) => {
            expect(ended.output).toContain(words[0])
            for (const word of words) expect(ended.output).toContain(word)
            expect(ended.code).toBe(code)
          })
        )

      yield* refused(["--yess"], 2, "--yess", "Did you mean --yes?", "--help")
      yield* refused(["--driver", "docker"], 2, '"docker"', "processes, kubernetes")
      yield* refused(["--driver", "kubernetes", "--yes"], 2, "--image-command", "registry", "sha256")
      yield* refused(["--image-command", "build", "--yes"], 2, "--driver kubernetes")
      yield* refused([], 2, "prod requires an approval", "--yes")
      yield* refused(["--yes", "--until", "production"], 2, '"production"', "dev, staging, prod")

      yield* Effect.promise(() => writeFile(join(repository.folder, "notes.txt"), "not committed"))
      yield* refused(["--yes"], 12, "1 uncommitted change", "notes.txt", "Commit or stash", "--allow-dirty")
      yield* Effect.promise(() => repository.commit("notes.txt", "committed"))

      // Held by a process that lives: this one.
      yield* Effect.promise(async () => {
        await mkdir(join(repository.folder, ".rehearsal"))
        await writeFile(join(repository.folder, ".rehearsal", "lock"), String(process.pid))
      })
      yield* refused(["--yes"], 12, "Another rehearsal", String(process.pid), "second clone")

      const pipeline = join(repository.folder, "clouddeploy", "pipeline.yaml")
      const text = yield* Effect.promise(() => readFile(pipeline, "utf8"))
      yield* Effect.promise(() =>
        repository.commit("clouddeploy/pipeline.yaml", text.replace("serialPipeline:", "serialPipelin:"))
      )
      yield* refused(["--yes"], 10, "clouddeploy/pipeline.yaml:", "serialPipelin", "serialPipeline", "Nothing was done")
      expect(readdirSync(join(repository.folder, ".rehearsal"))).toEqual(["lock"])
    })
  )

  it.scopedLive(
    "leaves no process behind after Ctrl-C, and can be started again",
    () =>
      Effect.gen(function* () {
        const repository = yield* testRepository
        const rehearsal = deliver(repository, ["rehearse", "--yes", "--until", "dev"])
        yield* until(
          "a hook of the first release ran",
          Effect.sync(rehearsal.output),
          (output) => output.includes("predeploy migrate") || rehearsal.child.exitCode !== null,
          "200 seconds"
        )
        expect(rehearsal.child.exitCode, rehearsal.output()).toBeNull()
        expect(processesWith(rehearsal.mark).length).toBeGreaterThan(1)
        rehearsal.child.kill("SIGINT")
        const { code, output } = yield* rehearsal.ended
        expect(output).toContain("Everything that was started has been ended")
        expect(code).toBe(130)
        yield* until(
          "the end of all its processes",
          Effect.sync(() => processesWith(rehearsal.mark)),
          (pids) => pids.length === 0
        )
        expect(readdirSync(join(repository.folder, ".rehearsal"))).not.toContain("lock")
      }),
    240_000
  )
})

describe("the embedded Postgres", () => {
  it("names the platform and the way out when its binary is missing", () => {
    expect(() => binariesFrom(tmpdir())).toThrowError(/No Postgres binary for .*make setup/)
  })

  it.scopedLive("names the address when its port is taken, and leaves nothing running", () =>
    Effect.gen(function* () {
      const subnet = yield* claimSubnet
      const host = subnet.address(2)
      const holder = createServer()
      yield* Effect.acquireRelease(
        Effect.async<void>((resume) => {
          holder.listen(5432, host, () => resume(Effect.void))
        }),
        () => Effect.sync(() => holder.close())
      )
      const folder = join(tmpdir(), `agents-taken-${crypto.randomUUID()}`)
      const error = yield* start({ dataDir: join(folder, "data"), host, port: 5432 }).pipe(Effect.flip)
      expect(error.message).toContain(`${host}:5432`)
      expect(error.message).toContain("taken")
    })
  )
})
