/**
 * Do all statements of all releases that may still run work with the schema as it stands in this transaction?
 *
 * Three looks at each, none of which leaves anything behind:
 * - PREPARE parses it as the runtime's driver has it done: a missing table, column, type or function shows. What it would
 *   answer with is compared with what it answered before: a reader of a bigint is not one of a text.
 * - EXPLAIN (GENERIC_PLAN), of Postgres 16, plans it: PREPARE does not, and so lets an ON CONFLICT pass whose index is gone.
 * - A write with sample values is run under a savepoint that is rolled back: only that shows a new NOT NULL column which an
 *   old INSERT does not fill.
 *
 * The last two are done as the role of the runners, if the migrator may act as it: else a forgotten GRANT would show only
 * when the first runner meets it.
 */
import { Effect } from "effect"
import { type Session, StatementFailed, searchPath } from "../Database.ts"
import type { Finding } from "../Evidence.ts"
import { gateStatements, type LiveRelease, type State, type SurfaceStatements } from "../Releases.ts"
import { canPrepare } from "./Sql.ts"
import { migrationPath } from "./State.ts"

type SurfaceStatement = SurfaceStatements["statements"][number]

/** A release and the statements that it must be able to run. */
export interface Witness {
  readonly release: string
  /** Why it counts: "deployed", "rollback choice", "this release", "2 live runners". */
  readonly standing: string
  readonly statements: ReadonlyArray<SurfaceStatement>
}

/** One text with one set of sample values, and who needs it: releases share most of theirs. */
export interface Demand {
  readonly text: string
  readonly probe: ReadonlyArray<unknown> | undefined
  readonly needers: ReadonlyArray<{ readonly release: string; readonly standing: string; readonly name: string }>
}

export interface Broken {
  readonly demand: Demand
  readonly by: "prepare" | "answers" | "probe" | "nothing" | "rights"
  readonly failure: StatementFailed
}

/**
 * Who may still run: every recorded release that is not retired, and every release of a live runner. Pure.
 * A live release without a record can't be proven; it is given back by name.
 */
export const witnesses = (
  records: ReadonlyArray<{
    readonly release: string
    readonly state: State
    readonly statements: ReadonlyArray<SurfaceStatement>
  }>,
  live: ReadonlyArray<LiveRelease>,
  self: string
): { readonly witnesses: ReadonlyArray<Witness>; readonly unknown: ReadonlyArray<LiveRelease> } => {
  const runners = (release: string) => live.find((one) => one.release === release)?.runners ?? 0
  return {
    witnesses: records
      .filter((record) => record.release !== self)
      .filter((record) => record.state !== "retired" || runners(record.release) > 0)
      .map((record) => ({
        release: record.release,
        standing:
          (record.state === "retired" ? "" : record.state.replace("-", " ")) +
          (runners(record.release) === 0
            ? ""
            : `${record.state === "retired" ? "" : ", "}${runners(record.release)} live runner(s)`),
        statements: record.statements
      })),
    unknown: live.filter((one) => one.release !== self && !records.some((record) => record.release === one.release))
  }
}

/** Each distinct statement once. What can't be prepared is left out and counted. Pure. */
export const demands = (
  witnesses: ReadonlyArray<Witness>
): { readonly demands: ReadonlyArray<Demand>; readonly unprovable: number } => {
  const byKey = new Map<string, Demand>()
  let unprovable = 0
  for (const witness of witnesses) {
    for (const { name, text, probe } of witness.statements) {
      if (!canPrepare(text)) {
        unprovable++
        continue
      }
      const trimmed = text.trim().replace(/;\s*$/, "")
      const key = JSON.stringify([trimmed, probe ?? null])
      const needer = { release: witness.release, standing: witness.standing, name }
      const known = byKey.get(key)
      byKey.set(key, { text: trimmed, probe, needers: [...(known?.needers ?? []), needer] })
    }
  }
  return { demands: [...byKey.values()], unprovable }
}

/** SQLSTATE classes that speak of the moment and not of the schema: locks, cancelled, resources, connection. */
export const isMomentary = (code: string): boolean =>
  /^(55P03|40P01|40001|57|53|58|08)/.test(code) || !/^[0-9A-Z]{5}$/.test(code)

/** Sample values may meet rows that are there or miss rows that are not: that says nothing about the schema. */
const isAboutTheSample = (code: string): boolean => code === "23505" || code === "23503" || code === "23P01"

const attempt = (session: Session, effect: Effect.Effect<unknown, StatementFailed>) =>
  session.script("savepoint deliver_proof").pipe(
    Effect.zipRight(
      effect.pipe(
        Effect.as(undefined),
        Effect.catchAll((failure) => (isMomentary(failure.code) ? Effect.fail(failure) : Effect.succeed(failure)))
      )
    ),
    Effect.tap(() => session.script("rollback to savepoint deliver_proof; release savepoint deliver_proof"))
  )

/** Whether this session may act as the role of the runners. The platform grants that to the migrator. */
export const mayActAsRuntime = (session: Session): Effect.Effect<boolean, StatementFailed> =>
  session
    .query<{ may: boolean }>(
      "select coalesce((select pg_has_role(current_user, oid, 'SET') from pg_roles where rolname = 'runtime'), false) as may"
    )
    .pipe(Effect.map((rows) => rows[0]?.may === true))

/** What a demand answered before the first migration: the types of its columns, and how many rows its sample wrote. */
export type Answers = Map<Demand, { readonly types: string; rows?: number }>

/** Lengths don't show here, and the driver reads all of these alike. */
const likeText = new Set(["character varying", "character", "name", "citext"])

const answersOf = (session: Session): Effect.Effect<string, StatementFailed> =>
  session
    .query<{ types: ReadonlyArray<string> | null }>(
      "select result_types::text[] as types from pg_prepared_statements where name = 'deliver_proof'"
    )
    .pipe(Effect.map(([row]) => (row?.types ?? []).map((type) => (likeText.has(type) ? "text" : type)).join(", ")))

const brokenBy = (failure: StatementFailed, by: "prepare" | "probe") => (failure.code === "42501" ? "rights" : by)

/**
 * Tries every demand inside of the open transaction, and leaves it as it was. Answers all that is broken, not the first.
 * Fails only when the moment does not let it be told (lock, cancelled, connection lost).
 */
export const prove = (
  session: Session,
  demands: ReadonlyArray<Demand>,
  /** Filled by the first proof, compared with by the others. */
  answers: Answers = new Map()
): Effect.Effect<ReadonlyArray<Broken>, StatementFailed> =>
  Effect.gen(function* () {
    // A migration may have set another path; statements are looked up as a runtime's connection does.
    yield* session.script(`set local search_path to ${searchPath}`)
    const asRuntime = yield* mayActAsRuntime(session)
    const broken: Array<Broken> = []
    for (const demand of demands) {
      // Undone by the savepoint, like everything else.
      const act =
        asRuntime && demand.needers.some(({ name }) => !gateStatements.has(name)) ? "set local role runtime; " : ""
      let types = ""
      const unprepared = yield* attempt(
        session,
        session.query(`prepare deliver_proof as ${demand.text}`).pipe(
          Effect.zipRight(
            Effect.map(answersOf(session), (found) => {
              types = found
            })
          ),
          Effect.zipRight(session.script("deallocate deliver_proof")),
          // Not by the extended protocol, which would want values. That it is one statement has just been shown.
          Effect.zipRight(session.script(`${act}explain (generic_plan, costs off) ${demand.text}`))
        )
      )
      if (unprepared !== undefined) {
        broken.push({ demand, by: brokenBy(unprepared, "prepare"), failure: unprepared })
        continue
      }
      const before = answers.get(demand)
      const answer = before ?? { types }
      if (before === undefined) answers.set(demand, answer)
      else if (before.types !== types) {
        const message = `it answered (${before.types}) and would answer (${types})`
        broken.push({
          demand,
          by: "answers",
          failure: new StatementFailed({ code: "types", message, detail: undefined })
        })
        continue
      }
      if (demand.probe === undefined) continue
      let rows: number | undefined
      const unwritten = yield* attempt(
        session,
        (act === "" ? Effect.void : session.script(act)).pipe(
          Effect.zipRight(session.count(demand.text, demand.probe)),
          Effect.tap((written) =>
            Effect.sync(() => {
              rows = written
            })
          )
        )
      )
      if (unwritten !== undefined && !isAboutTheSample(unwritten.code)) {
        broken.push({ demand, by: brokenBy(unwritten, "probe"), failure: unwritten })
      }
      if (rows === undefined) continue
      if (before === undefined) answer.rows = rows
      else if (rows === 0 && (before.rows ?? 0) > 0) {
        const message = `its sample wrote ${before.rows} row(s) and would write none, without an error`
        broken.push({
          demand,
          by: "nothing",
          failure: new StatementFailed({ code: "rows", message, detail: undefined })
        })
      }
    }
    // A proof without commit goes on with the next migration in the same transaction.
    yield* session.script(`set local search_path to ${migrationPath}`)
    return broken
  })

const short = (release: string) => (/^[0-9a-f]{40}$/.test(release) ? release.slice(0, 12) : release)

const ruleOf: Readonly<Record<Broken["by"], string>> = {
  prepare: "statement-broken",
  answers: "answer-changed",
  probe: "write-broken",
  nothing: "write-lost",
  rights: "right-lost"
}

/** The finding for a statement that a migration would break. */
export const findingOf = (broken: Broken, migration: string | undefined, self: string): Finding => {
  const { demand, failure, by } = broken
  const own = demand.needers.every((needer) => needer.release === self)
  const names = [...new Set(demand.needers.map((needer) => needer.name))].join(", ")
  const releases = demand.needers.map((needer) => `${short(needer.release)} (${needer.standing})`).join(", ")
  const detail = [
    `${failure.message} (${failure.code})`,
    ...(failure.detail === undefined || by === "probe" ? [] : [failure.detail]),
    demand.text.length > 400 ? `${demand.text.slice(0, 400)} …` : demand.text
  ].join("\n")
  if (own) {
    return {
      rule: "own-statement",
      severity: "hazard",
      what:
        migration === undefined
          ? `Statement ${names} of this release does not work with the schema of this database.`
          : `Statement ${names} of this release does not work once its own migrations are applied.`,
      where: `release ${self}, statement ${names}${migration === undefined ? "" : `, after migrations/${migration}.sql`}`,
      detail,
      why: "Its runners would fail at the first use of it.",
      fix:
        by === "rights"
          ? "Grant role runtime what the statement needs, in the migration that makes the table."
          : migration === undefined
            ? "If this is a rollback, a later migration took away what this release needs: deploy a newer release instead. Else a migration is missing from this release."
            : "Correct the statement or the migration, and generate surface.json again."
    }
  }
  return {
    rule: ruleOf[by],
    severity: "hazard",
    what: `${migration ?? "The schema"} would break statement ${names}, which release ${releases} still ${by === "probe" || by === "nothing" ? "writes with" : "runs"}.`,
    where: `migrations/${migration}.sql, statement ${names}`,
    detail,
    why: "Runners of that release live beside the new one during the rollout, and come back with a rollback: they would fail in the middle of executions.",
    fix: "Expand first: add what is new and keep what is old, and let the release that no longer needs it be deployed.\nContract in a later release, when no release that needs it is deployed or the rollback choice (deliver release list)."
  }
}
