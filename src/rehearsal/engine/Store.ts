/**
 * The engine's resources in Postgres, as JSON in Google's form.
 *
 * Every change runs in one transaction behind one lock: a rehearsal has few writers and many who ask, and a change that
 * sees all resources as they are needs no further thought.
 */
import { PgClient } from "@effect/sql-pg"
import { Effect } from "effect"
import { GoogleError, notFound } from "./GoogleError.ts"
import { type Automation, lastOf, parentOf, type Resource } from "./Resources.ts"

/** Beside a rollout or an automation run: what the engine alone knows. */
export interface Inner {
  /** The wait from which the workflow is to be woken: the number of its deferred. */
  readonly wait?: number | null
}

export interface Row<R extends Resource> {
  readonly resource: R
  readonly inner: Inner
}

const LOCK = 7_340_001

export class Store extends Effect.Service<Store>()("rehearsal/Store", {
  effect: Effect.gen(function* () {
    const sql = yield* PgClient.PgClient
    yield* sql`create table if not exists resources (
      name text primary key, kind text not null, parent text not null,
      body jsonb not null, inner_state jsonb not null default '{}', sequence bigserial not null)`
    yield* sql`create index if not exists resources_parent on resources (kind, parent)`
    // The lease of a target: the rollout that may work on it.
    yield* sql`create table if not exists leases (target text primary key, rollout text not null)`
    yield* sql`create table if not exists operations (name text primary key, body jsonb not null)`
    yield* sql`create table if not exists objects (bucket text not null, name text not null, size bigint not null, file text, primary key (bucket, name))`
    yield* sql`create table if not exists job_logs (job_run text primary key, log jsonb not null)`
    // What Google's audit log would have: a rollout's resource does not say who approved it.
    yield* sql`create table if not exists approvals (
      rollout text not null, approved boolean not null, principal text, at timestamptz not null default clock_timestamp())`
    yield* sql`create table if not exists meta (key text primary key, value jsonb not null)`

    const listeners = new Set<() => void>()

    const broken = (cause: unknown) =>
      cause instanceof GoogleError
        ? cause
        : new GoogleError({
            status: "INTERNAL",
            message: `The rehearsal's database failed: ${cause instanceof Error ? cause.message : String(cause)}`
          })

    /** Runs alone; either all of it becomes visible or nothing does. */
    const transaction = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
      sql.withTransaction(Effect.zipRight(sql`select pg_advisory_xact_lock(${LOCK})`, effect)).pipe(
        Effect.mapError(broken),
        Effect.tap(() =>
          Effect.sync(() => {
            for (const listener of listeners) listener()
          })
        )
      )

    const find = <R extends Resource>(name: string): Effect.Effect<Row<R> | undefined, GoogleError> =>
      sql<{
        body: R
        innerState?: Inner
        inner_state?: Inner
      }>`select body, inner_state from resources where name = ${name}`.pipe(
        Effect.mapError(broken),
        Effect.map(([row]) =>
          row === undefined ? undefined : { resource: row.body, inner: row.inner_state ?? row.innerState ?? {} }
        )
      )

    const get = <R extends Resource>(name: string): Effect.Effect<R, GoogleError> =>
      Effect.flatMap(find<R>(name), (row) => (row === undefined ? notFound(name) : Effect.succeed(row.resource)))

    /** Of one kind, oldest first. `parent` may hold `-` for any one segment. */
    const list = <R extends Resource>(kind: string, parent: string): Effect.Effect<ReadonlyArray<R>, GoogleError> => {
      const pattern = `^${parent
        .split("/")
        .map((part) => (part === "-" ? "[^/]+" : part.replace(/[^A-Za-z0-9_-]/g, "\\$&")))
        .join("/")}$`
      return sql<{
        body: R
      }>`select body from resources where kind = ${kind} and parent ~ ${pattern} order by sequence`.pipe(
        Effect.mapError(broken),
        Effect.map((rows) => rows.map((row) => row.body))
      )
    }

    /** Writes a resource; its kind is the name's collection. Gives it uid, times and a new etag. */
    const put = <R extends Resource>(resource: R, inner?: Inner): Effect.Effect<R, GoogleError> =>
      Effect.gen(function* () {
        const before = yield* find<R>(resource.name)
        const at = new Date().toISOString()
        const kind = lastOf(resource.name.slice(0, resource.name.lastIndexOf("/")))
        const whole: R = {
          ...resource,
          uid: before?.resource.uid ?? crypto.randomUUID().replaceAll("-", ""),
          createTime: before?.resource.createTime ?? at,
          updateTime: at,
          etag: crypto.randomUUID().slice(0, 16)
        }
        const kept = JSON.stringify({ ...before?.inner, ...inner })
        yield* sql`insert into resources (name, kind, parent, body, inner_state)
          values (${whole.name}, ${kind}, ${parentOf(whole.name)}, ${JSON.stringify(whole)}::jsonb, ${kept}::jsonb)
          on conflict (name) do update set body = excluded.body, inner_state = excluded.inner_state`
        return whole
      }).pipe(Effect.mapError(broken))

    const remove = (name: string): Effect.Effect<void, GoogleError> =>
      sql`delete from resources where name = ${name} or starts_with(name, ${`${name}/`})`.pipe(
        Effect.mapError(broken),
        Effect.asVoid
      )

    return {
      sql,
      transaction,
      find,
      get,
      list,
      put,
      remove,
      /** Rollouts and automation runs that are in none of these states, oldest first. */
      open: (kind: "rollouts" | "automationRuns", over: ReadonlyArray<string>) =>
        sql<{ body: Resource; inner_state?: Inner; innerState?: Inner }>`select body, inner_state from resources
          where kind = ${kind} and not (body ->> 'state' = any(${[...over]})) order by sequence`.pipe(
          Effect.mapError(broken),
          Effect.map((rows) =>
            rows.map((row) => ({ resource: row.body, inner: row.inner_state ?? row.innerState ?? {} }))
          )
        ),
      /** Automations with a schedule, whatever their pipeline. */
      timedAutomations: sql<{ body: Automation }>`select body from resources
        where kind = 'automations' and body @? '$.rules[*].timedPromoteReleaseRule' order by sequence`.pipe(
        Effect.mapError(broken),
        Effect.map((rows) => rows.map(({ body }) => body))
      ),
      /** What the engine keeps beside the resources. */
      remembered: <A>(key: string) =>
        sql<{ value: A }>`select value from meta where key = ${key}`.pipe(
          Effect.mapError(broken),
          Effect.map(([row]) => row?.value)
        ),
      remember: <A>(key: string, value: A) =>
        sql`insert into meta (key, value) values (${key}, ${JSON.stringify(value)}::jsonb)
          on conflict (key) do update set value = excluded.value`.pipe(Effect.mapError(broken)),
      holder: (target: string) =>
        sql<{ rollout: string }>`select rollout from leases where target = ${target}`.pipe(
          Effect.mapError(broken),
          Effect.map(([row]) => row?.rollout)
        ),
      lease: (target: string, rollout: string) =>
        sql`insert into leases (target, rollout) values (${target}, ${rollout}) on conflict do nothing`.pipe(
          Effect.mapError(broken)
        ),
      release: (rollout: string) => sql`delete from leases where rollout = ${rollout}`.pipe(Effect.mapError(broken)),
      keepLog: (jobRun: string, log: ReadonlyArray<string>) =>
        sql`insert into job_logs (job_run, log) values (${jobRun}, ${JSON.stringify(log)}::jsonb)
          on conflict (job_run) do update set log = excluded.log`.pipe(Effect.mapError(broken)),
      logOf: (jobRun: string) =>
        sql<{ log: ReadonlyArray<string> }>`select log from job_logs where job_run = ${jobRun}`.pipe(
          Effect.mapError(broken),
          Effect.map(([row]) => row?.log)
        ),
      approval: (rollout: string, approved: boolean, principal: string | undefined) =>
        sql`insert into approvals (rollout, approved, principal) values (${rollout}, ${approved}, ${principal ?? null})`.pipe(
          Effect.mapError(broken)
        ),
      /** Newest first. */
      approvalsOf: (rollout: string) =>
        sql<{ approved: boolean; principal: string | null; at: string }>`select approved, principal,
          to_char(at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as at
          from approvals where rollout = ${rollout} order by approvals.at desc`.pipe(Effect.mapError(broken)),
      /** Called after every change, until the returned function is called. */
      onChange: (listener: () => void) => {
        listeners.add(listener)
        return () => void listeners.delete(listener)
      }
    }
  })
}) {}
