/** A removal whose process is killed, as a process: whoever looks after unfinished ones carries it to its end. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { parseAllDocuments } from "yaml"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import { until } from "../../../test/support/wait.ts"
import { ExitCode } from "../../domain/ExitCode.ts"
import * as Gates from "../../gates/Database.ts"
import { tenantResumeVerb, tenantStatusVerb } from "./tenant.ts"
import { runVerb } from "./Verb.ts"

const program = join(import.meta.dirname, "../deliver.ts")

it.scopedLive("is carried on by another process when its own is killed in the middle, and is counted as a whole", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const url = ["--database-url", database.urlOf("migrator")]
    const deliver = (...words: ReadonlyArray<string>) =>
      runVerb([tenantResumeVerb, tenantStatusVerb], ["tenant", ...words, ...url])
    yield* database.query("insert into agents.sessions (tenant_id, session_id) values ('acme', 's')")
    yield* database.query(
      `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release, finished_at)
       select 'acme', 'r' || n, 's', 'e' || n, 'AgentWorkflow', 'completed', 'r', now() from generate_series(1, 20) n`
    )
    yield* database.query(
      `insert into agents.memories (tenant_id, execution_id, idempotency_key, body)
       select 'acme', 'e', n::text, 'a fact' from generate_series(1, 1500) n`
    )
    expect(yield* deliver("resume")).toMatchObject({ exitCode: ExitCode.passed, json: { removals: [] } })

    // Somebody reads a run for long: the removal gets as far as the runs, and waits there.
    const pool = yield* Layer.build(Gates.layer(yield* Gates.fromUrl(database.urlOf("runtime"))))
    const reader = yield* Effect.flatMap(Effect.provide(Gates.Database, pool), (gate) => gate.session)
    yield* reader.script("begin")
    yield* reader.query("select from agents.runs where run_id = 'r7' for share")
    const answered = ["--confirm", "acme", "--by", "ann", "--why", "request 4711"]
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [program, "tenant", "delete", "acme", ...answered, ...url], { stdio: "ignore" })
      ),
      (started) => Effect.sync(() => started.kill("SIGKILL"))
    )
    const ended = once(child, "exit")
    yield* until(
      "the removal waits for the run",
      database.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like '%delete from agents.runs%'`
      ),
      ([row]) => row!.n === 1,
      "40 seconds"
    )
    child.kill("SIGKILL")
    yield* Effect.promise(() => ended)
    const between = yield* deliver("status", "acme")
    expect(between).toMatchObject({
      exitCode: ExitCode.refused,
      json: {
        rows: { "agents.memories": 0, "agents.runs": 20, "agents.sessions": 1 },
        jobs: [{ kind: "removal", state: "running", counts: { "agents.memories": 1500 } }]
      }
    })
    yield* reader.script("rollback")

    expect(yield* deliver("resume")).toMatchObject({
      exitCode: ExitCode.passed,
      json: { removals: [{ tenant: "acme", state: "done" }] }
    })
    expect(yield* deliver("status", "acme")).toMatchObject({
      exitCode: ExitCode.passed,
      json: {
        rows: { "agents.memories": 0, "agents.runs": 0, "agents.sessions": 0 },
        jobs: [
          {
            state: "done",
            by: "ann",
            why: "request 4711",
            counts: { "agents.memories": 1500, "agents.runs": 20, "agents.sessions": 1 }
          }
        ]
      }
    })
  })
)

const rendered = join(import.meta.dirname, "../../../test/goldens/rendered")

it.each(readdirSync(rendered).filter((name) => name !== "platform.yaml"))(
  "is on a schedule in %s, as the role that may",
  (name) => {
    const scheduled = parseAllDocuments(readFileSync(join(rendered, name), "utf8"))
      .map((document) => document.toJS())
      .find(({ kind, metadata }) => kind === "CronJob" && metadata.name === "tenant-removals")
    const pod = scheduled.spec.jobTemplate.spec.template.spec
    const [container] = pod.containers
    expect(container.command.slice(2)).toEqual(tenantResumeVerb.name.split(" "))
    const mounted = container.volumeMounts.find(
      ({ mountPath }: { readonly mountPath: string }) =>
        container.env.find(({ name }: { readonly name: string }) => name === "DATABASE_SECRET_DIR").value === mountPath
    )
    expect(pod.volumes.find(({ name }: { readonly name: string }) => name === mounted.name).secret.secretName).toBe(
      "agent-database-migrator"
    )
  }
)

it.scopedLive("says of one that can't be ended yet why, and carries the others on", () =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    for (const tenant of ["acme", "other"]) {
      yield* database.query("insert into agents.sessions (tenant_id, session_id) values ($1, 's')", [tenant])
      yield* database.query(
        "insert into agents.tenant_jobs (tenant_id, kind, requested_by, why) values ($1, 'removal', 'ann', 'request')",
        [tenant]
      )
    }
    yield* database.query(
      `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release)
       values ('acme', 'open', 's', 'e', 'AgentWorkflow', 'waiting', 'r')`
    )
    const { exitCode, json, text } = yield* runVerb(
      [tenantResumeVerb],
      ["tenant", "resume", "--database-url", database.urlOf("migrator")]
    )
    expect(exitCode).toBe(ExitCode.refused)
    expect(json).toMatchObject({
      removals: [
        { tenant: "acme", state: "running" },
        { tenant: "other", state: "done" }
      ]
    })
    expect(text).toContain("has open runs: open.")
  })
)
