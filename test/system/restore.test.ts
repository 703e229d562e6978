/** A backup is worth what a restore of it shows: on a real server with its WAL archive, with work in flight, and with runners on both sides. */
import { spawn } from "node:child_process"
import { cp, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, type Scope } from "effect"
import pg from "pg"
import { vi } from "vitest"
import { CurrentProcess } from "../../src/domain/CurrentProcess.ts"
import { ExitCode } from "../../src/domain/ExitCode.ts"
import type { RestoreJournal } from "../../src/drills/restore/Restore.ts"
import { EventStore } from "../../src/events/EventStore.ts"
import * as Backup from "../../src/rehearsal/postgres/Backup.ts"
import * as ClusterClient from "../../src/runtime/ClusterClient.ts"
import * as Database from "../../src/runtime/Database.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"
import { eventsOf, runId, session, summary, untilEvent } from "../support/cluster.ts"
import { testImage } from "../support/image.ts"
import { messageStorage, stepEngine } from "../support/message-storage.ts"
import { databaseSecret, startPod } from "../support/pods.ts"
import { backedUp, DATABASE } from "../support/restored.ts"
import { sharding } from "../support/sharding.ts"
import { until } from "../support/wait.ts"

vi.setConfig({ testTimeout: 180_000 })

const POINT = "the_drill"

const start = (name: string, message: string) =>
  Effect.flatMap(ClusterClient.AgentClient, (agent) =>
    agent.ask(session(name), { runId: runId(name), message, model: "local" })
  )

/** `deliver drill restore`, as a process. */
const drill = (args: ReadonlyArray<string>, env: Readonly<Record<string, string>>) =>
  Effect.async<
    { readonly code: number | null; readonly journal: RestoreJournal; readonly said: string },
    never,
    Scope.Scope
  >((resume) => {
    const child = spawn(process.execPath, ["src/bin/deliver.ts", "drill", "restore", "--json", ...args], {
      cwd: join(import.meta.dirname, "..", ".."),
      env: { PATH: process.env["PATH"], MESSAGE_STORAGE: messageStorage, STEP_ENGINE: stepEngine, ...env },
      stdio: ["ignore", "pipe", "pipe"]
    })
    let [output, said] = ["", ""]
    child.stdout.on("data", (chunk) => (output += chunk))
    child.stderr.on("data", (chunk) => (said += chunk))
    child.once("close", (code) =>
      resume(Effect.sync(() => ({ code, said, journal: output === "" ? ({} as RestoreJournal) : JSON.parse(output) })))
    )
    return Effect.sync(() => child.kill("SIGTERM"))
  })

const query = (url: string, text: string) =>
  Effect.promise(async () => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return (await client.query(text)).rows
    } finally {
      await client.end()
    }
  })

it.scopedLive(
  "carries on in a copy what was in flight, loses nothing of what was accepted, and leaves the database alone",
  () =>
    Effect.gen(function* () {
      const [database, image] = yield* Effect.all([backedUp, testImage()], { concurrency: 2 })
      const secrets = yield* Effect.all({
        runtime: databaseSecret(database.urlOf("runtime")),
        reader: databaseSecret(database.urlOf("reader")),
        migrator: databaseSecret(database.urlOf("migrator"))
      })
      const pod = yield* startPod({
        image,
        program: "runner",
        name: "effect-agent-runtime-0",
        address: database.subnet.address(10),
        env: { DATABASE_SECRET_DIR: secrets.runtime, MESSAGE_STORAGE: messageStorage, STEP_ENGINE: stepEngine }
      })
      yield* pod.ready
      const client = Layer.mergeAll(ClusterClient.layer({ ...sharding, messageStorage }), EventStore.Default).pipe(
        Layer.provideMerge(
          Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 8 })
        ),
        Layer.provide(Layer.succeed(CurrentProcess, { name: "test", release: "test" })),
        Layer.orDie
      )
      yield* Effect.gen(function* () {
        yield* start("ended", "tool:add=2+2")
        yield* untilEvent("ended", "Completed")
        // What comes now reaches a copy by WAL alone.
        yield* database.backUp
        yield* start("waits", "approve tool:add=1+1")
        yield* untilEvent("waits", "ApprovalRequested")
        yield* start("works", Array.from({ length: 30 }, () => "tool:wait=200").join(" "))
        yield* start("sleeps", "follow-up:3600")
        yield* untilEvent("works", "ToolResult")
        const asOf = yield* Backup.settledMoment(database.server)
        const last = yield* Backup.restorePoint(database.server, POINT, database.archive)
        yield* start("late", "after the moment of the copy")
        yield* untilEvent("late", "Completed")

        const host = database.subnet.address(3)
        const copy = yield* database.restore(POINT, host)
        const copyUrl = copy.url(DATABASE)
        const args = [
          "--as-of",
          asOf,
          "--copy-host",
          host,
          "--address",
          database.subnet.address(20),
          "--program",
          join(image.folder, "runner.js")
        ]
        const env = {
          DATABASE_SECRET_DIR: secrets.reader,
          COPY_SECRET_DIR: secrets.migrator,
          RUNNER_SECRET_DIR: secrets.runtime
        }
        const { code, journal, said } = yield* drill(args, env)
        expect(journal.steadyState?.after.findings, said).toEqual([])
        process.stdout.write(
          `${[...journal.method.map(({ name, durationMs }) => `${name}: ${durationMs} ms`), journal.fault, `in ${journal.durationMs} ms`].join("\n")}\n`
        )
        expect(code).toBe(ExitCode.passed)
        expect(journal.open).toEqual({ inFlight: 1, asleep: 1, waiting: 1, approved: 1 })
        const compared = Object.fromEntries(journal.compared.map((one) => [one.name, one]))
        expect(compared["agents.runs"]).toMatchObject({ source: 4, copy: 4, missing: 0, changed: 0 })
        expect(compared["events"]!.source).toBeGreaterThan(8)
        expect(compared["cluster.cluster_messages"]!.source).toBeGreaterThan(4)

        // In the copy they ended on a runner that was new, the one that came later is not there; in the database each has its own way.
        const states = "select run_id, status, runner from agents.runs order by run_id"
        const there = yield* query(copyUrl, states)
        expect(there.map(({ run_id, status }) => `${run_id} ${status}`)).toEqual([
          "ended completed",
          "sleeps accepted",
          "waits completed",
          "works completed"
        ])
        expect(there.find(({ run_id }) => run_id === "works").runner).toMatch(/^drill-restore-/)
        const status = (name: string) =>
          Effect.map(
            query(database.server.url(DATABASE), states),
            (rows) => rows.find(({ run_id }) => run_id === name).status
          )
        expect(yield* status("waits")).toBe("waiting")
        yield* until("works ends here too", status("works"), (state) => state === "completed", "60 seconds")
        const seen = summary(yield* eventsOf("works"))
        expect(seen.doubled).toEqual([])

        // The copy is one that is used by now. Without an event, it is one that is not whole.
        yield* query(copyUrl, "delete from agents.events where run_id = 'ended' and type = 'ToolResult'")
        const spoilt = yield* drill(args, env)
        expect(spoilt.code).toBe(ExitCode.refused)
        expect(spoilt.journal.steadyState.after.findings.join("\n")).toMatch(
          /events: of \d+ rows the copy lacks 1 and has 0 otherwise, for example \(acme,ended,/
        )

        // A backup whose WAL has an end before the moment is none of that moment: nobody is let into the copy.
        const short = yield* Effect.acquireRelease(
          Effect.promise(async () => {
            const folder = await mkdtemp(join(tmpdir(), "agents-archive-"))
            await cp(database.archive, folder, { recursive: true })
            await rm(join(folder, last))
            return folder
          }),
          (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
        )
        const cut = yield* Effect.flip(database.restore(POINT, database.subnet.address(4), short))
        expect(cut.message).toMatch(/recovery ended before configured recovery target was reached/)
      }).pipe(Effect.provide(client))
    })
)
