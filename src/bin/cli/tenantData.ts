/**
 * Exports and removes what a tenant has. Each removal is some rows and their count in one statement, so it may be cut anywhere:
 * the same command goes on where it was, and the record's counts are of the whole.
 */
import { createHash } from "node:crypto"
import { once } from "node:events"
import { createWriteStream, type WriteStream } from "node:fs"
import { rename, rm } from "node:fs/promises"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { Database, type Session } from "../../gates/Database.ts"
import { kept, type TenantTable, tables } from "./tenantTables.ts"
import { CliError } from "./Verb.ts"

/** Rows that one statement removes, and that one fetch of an export holds in memory. */
const BATCH = 1000

export interface Asked {
  readonly tenant: string
  readonly by: string
  readonly why: string
}

export type Counts = Readonly<Record<string, number>>

const refuse = (exitCode: ExitCode, message: string) => new CliError({ exitCode, message })

const count = (session: Session, { name, where }: TenantTable, tenant: string) =>
  Effect.map(session.query<{ n: string }>(`select count(*) as n from ${name} t where ${where}`, [tenant]), ([row]) =>
    Number(row?.n)
  )

/** What the tenant has, by table, those that a removal leaves included. */
export const counted = (session: Session, tenant: string, of: ReadonlyArray<TenantTable> = [...tables, ...kept]) =>
  Effect.map(
    Effect.forEach(of, (table) => Effect.map(count(session, table, tenant), (n) => [table.name, n] as const)),
    (all): Counts => Object.fromEntries(all)
  )

const write = (file: WriteStream, text: string) =>
  Effect.promise(async () => {
    if (!file.write(text)) await once(file, "drain")
  })

/** One snapshot of everything, a line a row, in an order that does not change. The file is there when it is whole. */
export const exportTo = (path: string, { tenant, by, why }: Asked) =>
  Effect.gen(function* () {
    const session = yield* Effect.flatMap(Database, (database) => database.session)
    const part = `${path}.part`
    const file = yield* Effect.acquireRelease(
      Effect.tryPromise({
        try: async () => {
          const stream = createWriteStream(part, { mode: 0o600 })
          await once(stream, "open")
          return stream
        },
        catch: (error) =>
          refuse(ExitCode.usage, `--out ${path} can't be written: ${error instanceof Error ? error.message : error}.`)
      }),
      (stream) =>
        Effect.promise(async () => {
          stream.destroy()
          await rm(part, { force: true })
        })
    )
    const hash = createHash("sha256")
    const counts: Record<string, number> = {}
    yield* session.script("begin isolation level repeatable read read only")
    for (const { name, where, key } of [...tables, ...kept]) {
      counts[name] = 0
      yield* session.query(
        `declare export no scroll cursor for
         select json_build_object('table', '${name}', 'row', to_json(t))::text as line from ${name} t where ${where} order by ${key}`,
        [tenant]
      )
      for (;;) {
        const rows = yield* session.query<{ line: string }>(`fetch ${BATCH} from export`)
        for (const { line } of rows) {
          hash.update(`${line}\n`)
          yield* write(file, `${line}\n`)
        }
        counts[name] += rows.length
        if (rows.length < BATCH) break
      }
      yield* session.script("close export")
    }
    yield* session.script("commit")
    yield* Effect.promise(async () => {
      file.end()
      await once(file, "close")
      await rename(part, path)
    })
    const sha256 = hash.digest("hex")
    const [job] = yield* session.query<{ id: string }>(
      `insert into agents.tenant_jobs (tenant_id, kind, state, requested_by, why, counts, sha256, finished_at)
       values ($1, 'export', 'done', $2, $3, $4::jsonb, $5, now()) returning job_id::text as id`,
      [tenant, by, why, JSON.stringify(counts), sha256]
    )
    return { job: job!.id, counts, sha256 }
  }).pipe(Effect.scoped)

const openRuns = (session: Session, tenant: string) =>
  session.query<{ id: string }>(
    "select run_id as id from agents.runs where tenant_id = $1 and finished_at is null order by accepted_at limit 6",
    [tenant]
  )

/** Removes some rows of a table, and says how many. */
const removeSome = (session: Session, { name, where, key, unless }: TenantTable, tenant: string, job: string) =>
  Effect.map(
    session.query<{ n: number }>(
      `with batch as (
         select ${key} from ${name} t where (${where})${unless === undefined ? "" : ` and not (${unless})`} limit ${BATCH}
       ), gone as (
         delete from ${name} t using batch where ${key
           .split(", ")
           .map((column) => `t.${column} = batch.${column}`)
           .join(" and ")} returning 1
       )
       update agents.tenant_jobs
       set counts = counts || jsonb_build_object($3::text, coalesce((counts->>$3)::bigint, 0) + (select count(*) from gone))
       where job_id = $2 and state = 'running'
       returning (select count(*) from gone)::int as n`,
      [tenant, job, name]
    ),
    ([row]) => row?.n ?? 0
  )

/**
 * First no run may start any more, not even one that a gateway has let in already; then none may be open, then everything goes, and at last everything is counted again: a
 * removal is done when nothing is left. `afterEach` is told after each batch.
 */
export const remove = (
  { tenant, by, why }: Asked,
  afterEach: (table: string) => Effect.Effect<void, CliError> = () => Effect.void
) =>
  Effect.gen(function* () {
    const session = yield* Effect.flatMap(Database, (database) => database.session)
    yield* session.query(
      `insert into agents.tenant_limits (tenant_id, open_runs, note) values ($1, 0, 'removal of the tenant, by ' || $2)
       on conflict (tenant_id) do update set open_runs = 0, note = excluded.note, updated_at = now()`,
      [tenant, by]
    )
    // Waits for every start that may not have seen this: a trigger of agents.runs holds the lock, shared, to its commit.
    yield* session.query("select pg_advisory_xact_lock(hashtextextended('agents.runs/' || $1, 0))::text", [tenant])
    const open = yield* openRuns(session, tenant)
    if (open.length > 0) {
      const some = open.slice(0, 5).map(({ id }) => id)
      return yield* refuse(
        ExitCode.refused,
        `Tenant ${tenant} has open runs: ${some.join(", ")}${open.length > some.length ? " and more" : ""}. What they still write would come back after the removal. From now on no run of the tenant starts (agents.tenant_limits). Let these end, or cancel them (POST /runs/ID/cancel), then run this again. Nothing was removed.`
      )
    }
    yield* session.query(
      `insert into agents.tenant_jobs (tenant_id, kind, requested_by, why) values ($1, 'removal', $2, $3)
       on conflict (tenant_id) where kind = 'removal' and state = 'running' do nothing`,
      [tenant, by, why]
    )
    const [running] = yield* session.query<{ id: string }>(
      "select job_id::text as id from agents.tenant_jobs where tenant_id = $1 and kind = 'removal' and state = 'running'",
      [tenant]
    )
    const job = running!.id
    for (const table of tables) {
      for (;;) {
        const gone = yield* removeSome(session, table, tenant, job)
        yield* afterEach(table.name)
        if (gone < BATCH) break
      }
    }
    const left = yield* counted(session, tenant, tables)
    const still = Object.entries(left).filter(([, n]) => n > 0)
    if (still.length > 0) {
      return yield* refuse(
        ExitCode.refused,
        `Of tenant ${tenant} something is left: ${still.map(([name, n]) => `${n} in ${name}`).join(", ")}. A runner still has messages to take up, or wrote something late. Run this again: it goes on where it was. Removal ${job} is not done.`
      )
    }
    const [done] = yield* session.query<{ counts: Record<string, number> }>(
      "update agents.tenant_jobs set state = 'done', finished_at = now() where job_id = $1 returning counts",
      [job]
    )
    return { job, counts: done!.counts as Counts }
  }).pipe(Effect.scoped)

/** Removals that a killed process left, the oldest first. */
export const unfinished = Effect.flatMap(Database, (database) => database.session).pipe(
  Effect.flatMap((session) =>
    session.query<Asked & { readonly job: string }>(
      `select job_id::text as job, tenant_id as tenant, requested_by as by, why
       from agents.tenant_jobs where kind = 'removal' and state = 'running' order by job_id`
    )
  ),
  Effect.scoped
)

/** Carries each of them on. One that can't be ended now keeps none of the others from it. */
export const resume = Effect.gen(function* () {
  const found = yield* unfinished
  return yield* Effect.forEach(found, ({ job, ...request }) =>
    remove(request).pipe(
      Effect.as({ job, tenant: request.tenant, state: "done" as const }),
      Effect.catchTag("CliError", ({ message }) =>
        Effect.succeed({ job, tenant: request.tenant, state: "running" as const, why: message })
      )
    )
  )
})

export interface Job {
  readonly id: string
  readonly kind: "export" | "removal"
  readonly state: "running" | "done"
  readonly by: string
  readonly why: string
  readonly counts: Counts
  readonly sha256: string | null
  readonly startedAt: string
  readonly finishedAt: string | null
}

export const status = (tenant: string) =>
  Effect.gen(function* () {
    const session = yield* Effect.flatMap(Database, (database) => database.session)
    const jobs = yield* session.query<Job>(
      `select job_id::text as id, kind, state, requested_by as by, why, counts, sha256,
         to_json(started_at)#>>'{}' as "startedAt", to_json(finished_at)#>>'{}' as "finishedAt"
       from agents.tenant_jobs where tenant_id = $1 order by job_id`,
      [tenant]
    )
    return { jobs, rows: yield* counted(session, tenant) }
  }).pipe(Effect.scoped)
