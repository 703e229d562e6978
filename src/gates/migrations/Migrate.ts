/**
 * `deliver migrate up` and `deliver gate migrations`: the same steps, once with and once without a commit.
 *
 * Decide from files and history; lint what is new; apply each migration and, in its transaction, prove every statement of
 * every release that may still run; record this release, so that its statements count for the next migration.
 */
import type { SqlClient } from "@effect/sql"
import { Duration, Effect, Exit, Schedule, type Scope } from "effect"
import { Database, type DatabaseUnavailable, type Session, StatementFailed } from "../Database.ts"
import * as Evidence from "../Evidence.ts"
import * as Releases from "../Releases.ts"
import { apply, type FileFailed, type Mode } from "./Apply.ts"
import * as Batches from "./Batches.ts"
import * as CheckAdded from "./CheckAdded.ts"
import * as Drift from "./Drift.ts"
import { plan } from "./History.ts"
import { type LinterBroken, lint } from "./Lint.ts"
import * as LockTrace from "./LockTrace.ts"
import { LARGEST_BATCH, type MigrationFile } from "./MigrationFile.ts"
import * as Proof from "./Proof.ts"
import { Refused } from "./Refused.ts"
import type { ScratchUnusable } from "./Scratch.ts"
import * as State from "./State.ts"
import * as UniqueAdded from "./UniqueAdded.ts"

export interface Options {
  readonly mode: Mode
  /** This release: a commit. */
  readonly release: string
  readonly surface: { readonly json: unknown; readonly decoded: Releases.SurfaceStatements }
  readonly folder: string
  readonly files: ReadonlyArray<MigrationFile>
  /** Path of the linter. */
  readonly squawk: string
  /** Makes the engine's tables or brings them forward; knows how to find that there is nothing to do. */
  readonly makeEngineTables: Effect.Effect<void, StatementFailed, SqlClient.SqlClient>
  /** A session in an empty database, where the history is replayed to be compared with the live schema. */
  readonly scratch?: Effect.Effect<Session, DatabaseUnavailable, Scope.Scope> | undefined
  readonly target?: string | undefined
  readonly rollout?: string | undefined
  readonly timing?: State.Timing
}

export type Failure = StatementFailed | DatabaseUnavailable | LinterBroken | State.MigratorBusy | ScratchUnusable

const isLock = (code: string) => code === "55P03" || code === "40P01"

const migrationFailed = (file: MigrationFile, failure: FileFailed): Evidence.Finding => ({
  rule: "migration-failed",
  severity: "hazard",
  what: `${file.name} can't be applied to this database.`,
  where: `migrations/${file.name}.sql`,
  detail: `${failure.message} (${failure.code})`,
  why:
    file.batches === undefined
      ? "It was rolled back as a whole; the schema is as before."
      : "Its batch was rolled back; batches before it stay, and the next run goes on behind them.",
  fix: "Correct the migration: it is not applied anywhere yet, or this database differs from the others."
})

const lockNotObtained = (file: MigrationFile, tries: number, holders: string): Evidence.Finding => ({
  rule: "lock-not-obtained",
  severity: "hazard",
  what: `${file.name} did not get its locks in ${tries} tries.`,
  where: `migrations/${file.name}.sql`,
  ...(holders === "" ? {} : { detail: `locks are held by ${holders}` }),
  why: "Waiting longer would queue every statement on that table behind the migration, and stop the runners.",
  fix: `End or wait for the long transaction, then run the same command again. ${file.batches === undefined ? "Nothing was changed by this migration." : "It goes on behind its last batch."}`
})

const notInTime = (file: MigrationFile): Evidence.Finding => ({
  rule: "proof-took-too-long",
  severity: "undecided",
  what: `${file.name} takes too long to be proven without a commit.`,
  where: `migrations/${file.name}.sql`,
  why: "Its locks would be held for the whole time, only to be rolled back.",
  fix: `"deliver migrate up" proves it in its own transaction. Move work on many rows into a backfill.`
})

const unknownRelease = (one: Releases.LiveRelease): Evidence.Finding => ({
  rule: "release-unknown",
  severity: "undecided",
  what: `${one.runners} live runner(s) carry release ${one.release}, which has no record in this database.`,
  where: "agents.runners, agents.releases",
  why: "Nobody can tell which statements they run, so no migration can be shown to be safe for them.",
  fix: `Run "deliver migrate up" with the image of that release, or end those runners.`
})

const already = (broken: Proof.Broken): Evidence.Finding => ({
  rule: "broken-before",
  severity: "note",
  what: `Statement ${broken.demand.needers[0]?.name} did not work before this migration either.`,
  where: broken.demand.needers.map(({ release, name }) => `release ${release}, statement ${name}`).join("; "),
  detail: `${broken.failure.message} (${broken.failure.code})`,
  why: "It is left out of the proof: no migration of this release broke it.",
  fix: "Look at that release: it can't run this statement now."
})

const engineTouched = (file: MigrationFile): Evidence.Finding => ({
  rule: "engine-tables",
  severity: "hazard",
  what: `${file.name} changed the workflow engine's tables (schema cluster).`,
  where: `migrations/${file.name}.sql`,
  why: "They belong to the library: its next version alters them, and a change of ours would break it, or the executions in them.",
  fix: "Keep what you need in schema agents. Tables of the engine change by updating the library only."
})

const sessionsChanged = (file: MigrationFile): Evidence.Finding => ({
  rule: "session-defaults",
  severity: "hazard",
  what: `${file.name} changes what sessions begin with: a setting of the database or of a role, or who may connect.`,
  where: `migrations/${file.name}.sql`,
  why: "Sessions that begin later have it, and none of the proof's did: a runner that connects anew may find that it can't write, or not connect at all.",
  fix: "Settings of databases and roles belong to the platform (infra/). What one statement needs, the code can set for its own transaction."
})

const rowsHidden = (file: MigrationFile, tables: ReadonlyArray<string>): Evidence.Finding => ({
  rule: "row-security",
  severity: "undecided",
  what: `${file.name} changes which rows of ${tables.map((table) => `agents.${table}`).join(", ")} are seen by whom.`,
  where: `migrations/${file.name}.sql`,
  why: "A row that a policy hides is missing from an answer, without an error: no statement of the proof feels it, and live releases would take it for gone.",
  fix: "Give new tables policies when they are made. For a table that is in use a person must see that role runtime still sees all of it."
})

const notInBatches = (file: MigrationFile, rows: number): Evidence.Finding => ({
  rule: "batches-missing",
  severity: "hazard",
  what: `${file.name} changed ${rows} rows in one transaction; ${LARGEST_BATCH} are the most.`,
  where: `migrations/${file.name}.sql`,
  why: "Runners wait for rows that it has changed until the last one is, vacuum is held back, and a kill loses all of it. It was rolled back.",
  fix: 'Make it one UPDATE or DELETE of at most N rows that are not yet done, and say "-- batches: N" in its head: it is run until none is left.'
})

const inTransaction = <A, E, R>(session: Session, effect: Effect.Effect<A, E, R>) =>
  session.script("begin").pipe(Effect.zipRight(effect), Effect.ensuring(Effect.ignore(session.script("rollback"))))

/**
 * Does it, and says what was done as evidence. Refusals are evidence, too; only what says nothing about the release fails.
 * When it is interrupted or killed, the open transaction is rolled back by Postgres and its locks are freed.
 */
export const run = (options: Options): Effect.Effect<Evidence.Evidence, Failure, Database | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const timing = options.timing ?? State.defaultTiming
    const lockMillis = Duration.toMillis(timing.lockTimeout)
    const startedAt = new Date()
    const checks: Array<Evidence.Check> = []
    const notes: Array<Evidence.Finding> = []
    const applied: Array<string> = []
    const session = yield* Effect.flatMap(Database, (database) => database.session)
    yield* State.lock(session, timing)

    const work = Effect.gen(function* () {
      const state = yield* State.read(session)
      const todo = plan(options.files, state.history)
      checks.push({
        name: "history",
        result: `${options.files.length} files, ${state.history.applied.length} applied before`
      })
      if (todo._tag === "Refuse") return yield* new Refused({ findings: todo.findings })
      const pending = todo._tag === "Apply" ? todo.pending : []
      if (todo._tag === "Older") {
        notes.push(...todo.findings)
        checks.push({
          name: "older image",
          result: `nothing to apply: the database is ahead by ${todo.newer.join(", ")} (a rollback changes no schema)`
        })
      }

      if (todo._tag === "Older" || options.scratch === undefined) {
        const why = todo._tag === "Older" ? "the database is ahead of this image" : "no scratch database was given"
        checks.push({ name: "drift", result: `not looked for: ${why}` })
      } else {
        const applied = options.files.filter(({ name }) => state.history.applied.includes(name))
        const here = yield* Drift.live(session)
        const history = yield* Effect.scoped(
          Effect.flatMap(options.scratch, (scratch) => Drift.replayed(scratch, applied))
        )
        const found = Drift.drift(here, history)
        checks.push({
          name: "drift",
          result: `${here.size} definitions of the live schema against ${applied.length} migrations replayed: ${found.length} differ`
        })
        notes.push(...found.filter(({ severity }) => severity === "note"))
        const grave = found.filter(({ severity }) => severity !== "note")
        if (grave.length > 0) return yield* new Refused({ findings: grave })
      }

      const linted = yield* Effect.forEach(pending, (file) => lint(options.squawk, file), { concurrency: 2 })
      checks.push({
        name: "lint",
        result: pending.length === 0 ? "no new migration" : `squawk on ${pending.length} new`
      })
      if (linted.flat().length > 0) return yield* new Refused({ findings: linted.flat() })

      if (pending.length > 0 && options.scratch !== undefined) {
        const applied = options.files.filter(({ name }) => state.history.applied.includes(name))
        const { traces, failed } = yield* Effect.scoped(
          Effect.flatMap(options.scratch, (scratch) => LockTrace.traceAll(scratch, applied, pending))
        )
        checks.push({
          name: "locks",
          result: [
            ...traces.map(LockTrace.describe),
            ...(failed === undefined ? [] : [`${failed}: does not run there`])
          ].join("; ")
        })
        const heavy = traces.flatMap(LockTrace.findingsOf)
        if (heavy.length > 0) return yield* new Refused({ findings: heavy })
      }

      const standing = Proof.witnesses(state.records, state.live, options.release)
      if (pending.length > 0 && standing.unknown.length > 0) {
        return yield* new Refused({ findings: standing.unknown.map(unknownRelease) })
      }

      // Brought forward before the proofs, so that these see what will be. On an empty database they come after the first
      // migrations, which make their schema and its default privileges.
      if (options.mode === "commit" && state.engine) yield* options.makeEngineTables

      const others = Proof.demands(standing.witnesses)
      const own = Proof.demands([
        { release: options.release, standing: "this release", statements: options.surface.decoded.statements }
      ])
      const unique = yield* Effect.filter(UniqueAdded.uniqueIndexes(pending), ({ table }) =>
        State.exists(session, table)
      )
      const doubled = UniqueAdded.findingsOf(unique, others.demands)
      if (doubled.length > 0) return yield* new Refused({ findings: doubled })
      const answers: Proof.Answers = new Map()
      const before = yield* inTransaction(session, Proof.prove(session, others.demands, answers))
      notes.push(...before.map(already))
      const demands = others.demands.filter((demand) => !before.some((broken) => broken.demand === demand))

      const proveOwn = (migration: string | undefined) =>
        Proof.prove(session, own.demands).pipe(
          Effect.filterOrFail(
            (broken) => broken.length === 0,
            (broken) => new Refused({ findings: broken.map((one) => Proof.findingOf(one, migration, options.release)) })
          )
        )

      const defaults = yield* State.sessionDefaults(session)
      const seen = yield* State.rowSecurity(session)
      /** The last word in a file's transaction: the engine is untouched, sessions begin as before, and everybody's statements still work. */
      const judge = (file: MigrationFile, engine: string, checks: ReadonlyArray<CheckAdded.Check>, changed = 0) =>
        Effect.gen(function* () {
          if ((yield* State.engineFingerprint(session)) !== engine) {
            return yield* new Refused({ findings: [engineTouched(file)] })
          }
          if ((yield* State.sessionDefaults(session)) !== defaults) {
            return yield* new Refused({ findings: [sessionsChanged(file)] })
          }
          const rows =
            file.phase === "backfill" && file.batches === undefined ? (yield* State.changedRows(session)) - changed : 0
          if (rows > LARGEST_BATCH) return yield* new Refused({ findings: [notInBatches(file, rows)] })
          const broken = yield* Proof.prove(session, demands, answers)
          if (broken.length > 0) {
            return yield* new Refused({
              findings: broken.map((one) => Proof.findingOf(one, file.name, options.release))
            })
          }
          const unmet = yield* CheckAdded.findings(session, file, checks, others.demands)
          if (unmet.length > 0) return yield* new Refused({ findings: unmet })
          const seenNow = yield* State.rowSecurity(session)
          const hidden = [...seen].filter(
            ([table, rules]) => seenNow.get(table) !== undefined && seenNow.get(table) !== rules
          )
          if (hidden.length > 0) {
            return yield* new Refused({
              findings: [
                rowsHidden(
                  file,
                  hidden.map(([table]) => table)
                )
              ]
            })
          }
        })

      const step = (file: MigrationFile, last: boolean) =>
        Effect.gen(function* () {
          const engine = yield* State.engineFingerprint(session)
          const unvalidated = yield* CheckAdded.unvalidated(session)
          // A gate that only proves applies all files in one transaction.
          const changed = yield* State.changedRows(session)
          yield* apply(
            session,
            options.folder,
            file,
            options.mode,
            lockMillis,
            Effect.gen(function* () {
              yield* judge(file, engine, unvalidated, changed)
              if (last && state.engine) yield* proveOwn(file.name)
              yield* State.keepChecksums(session, [...options.files], options.release)
            })
          )
        })

      /** A lock that others hold is worth waiting for, politely; everything else is not. */
      const patiently = <A, R>(
        at: () => MigrationFile,
        effect: Effect.Effect<A, Refused | FileFailed | StatementFailed, R>
      ): Effect.Effect<A, Refused | StatementFailed, R> =>
        effect.pipe(
          Effect.retry({
            times: timing.retries,
            schedule: Schedule.exponential("200 millis", 1.7).pipe(
              Schedule.union(Schedule.spaced("5 seconds")),
              Schedule.jittered
            ),
            while: (error) => error._tag !== "Refused" && isLock(error.code)
          }),
          Effect.catchAll((failure): Effect.Effect<never, Refused | StatementFailed> => {
            if (failure._tag === "Refused") return failure
            const file = at()
            if (isLock(failure.code)) {
              return Effect.flatMap(
                State.lockHolders(session),
                (holders) => new Refused({ findings: [lockNotObtained(file, timing.retries + 1, holders)] })
              )
            }
            if (failure.code === "57014" && options.mode === "prove") {
              return new Refused({ findings: [notInTime(file)] })
            }
            if (failure._tag === "StatementFailed") return failure
            return failure.code === "42501" || Proof.isMomentary(failure.code)
              ? new StatementFailed({ code: failure.code, message: failure.message, detail: undefined })
              : new Refused({ findings: [migrationFailed(file, failure)] })
          })
        )

      if (options.mode === "commit") {
        for (const file of pending) {
          if (file.batches !== undefined) {
            const unvalidated = yield* CheckAdded.unvalidated(session)
            let engine = ""
            // Anew for each try: what a try that met a lock had probed is no change of the next one.
            const look = Effect.map(State.engineFingerprint(session), (found) => {
              engine = found
            })
            const done = yield* Batches.run({
              session,
              file,
              batchTimeout: timing.proofTimeout,
              // Batches differ in their rows alone, so the statements are proven once.
              beforeCommit: (first) => (first ? Effect.suspend(() => judge(file, engine, unvalidated)) : Effect.void),
              patiently: (batch) => patiently(() => file, Effect.zipRight(look, batch))
            })
            checks.push({ name: `batches of ${file.name}`, result: Batches.describe(done) })
          }
          yield* patiently(() => file, step(file, file === pending.at(-1)))
          // Outside of a transaction nothing but node-pg-migrate's own row was written.
          if (!file.transactional) yield* State.keepChecksums(session, [...options.files], options.release)
          applied.push(file.name)
        }
      } else if (pending.length > 0) {
        let current = pending[0]!
        yield* patiently(
          () => current,
          inTransaction(
            session,
            Effect.gen(function* () {
              yield* session.script(`set local statement_timeout = ${Duration.toMillis(timing.proofTimeout)}`)
              for (const file of pending) {
                current = file
                yield* step(file, file === pending.at(-1))
              }
            })
          )
        )
        notes.push(
          ...pending
            .filter((file) => !file.transactional)
            .map(
              (file): Evidence.Finding => ({
                rule: "concurrently-not-run",
                severity: "note",
                what: `${file.name} builds or drops an index concurrently; here it was only checked, or tried as a plain drop.`,
                where: `migrations/${file.name}.sql`,
                why: "CONCURRENTLY can't be rolled back, and a proof commits nothing.",
                fix: `Nothing to do: "deliver migrate up" runs it, and resumes it when it is cut short.`
              })
            )
        )
      }

      if (options.mode === "commit" && !state.engine) yield* options.makeEngineTables
      const engine = options.mode === "commit" || state.engine
      if (engine && (pending.length === 0 || !state.engine)) yield* inTransaction(session, proveOwn(undefined))

      const releases = standing.witnesses.map((witness) => `${witness.release.slice(0, 12)} (${witness.standing})`)
      checks.push(
        {
          name: "other releases",
          result:
            releases.length === 0
              ? "none may still run"
              : `${demands.length} statements, ${demands.filter((demand) => demand.probe !== undefined).length} of them run with samples, of ${releases.join(", ")}`
        },
        {
          name: "this release",
          result: engine
            ? `${own.demands.length} statements work, ${(yield* Proof.mayActAsRuntime(session)) ? "with the rights of role runtime" : `but whether role runtime has the rights was not tried ("grant runtime to migrator" lets it)`}${own.unprovable + others.unprovable === 0 ? "" : `; ${own.unprovable + others.unprovable} are of a kind that can't be prepared`}`
            : "not proven: this database has no engine tables yet (first release)"
        },
        {
          name: options.mode === "commit" ? "applied" : "would apply",
          result: pending.length === 0 ? "nothing" : pending.map((file) => `${file.name} (${file.phase})`).join(", ")
        }
      )
      if (options.mode === "commit") {
        const state = yield* Releases.record({
          release: options.release,
          surface: options.surface.json,
          target: options.target,
          rollout: options.rollout
        }).pipe(Effect.mapError(State.fromSqlError))
        checks.push({ name: "recorded", result: `${options.release.slice(0, 12)} is ${state}` })
      }
      return pending.length
    })

    const outcome = yield* Effect.exit(work.pipe(Effect.catchTag("Refused", (refused) => Effect.succeed(refused))))
    if (Exit.isFailure(outcome)) return yield* Effect.failCause(outcome.cause)
    const findings = [...notes, ...(typeof outcome.value === "number" ? [] : outcome.value.findings)]
    if (typeof outcome.value !== "number" && applied.length > 0) {
      checks.push({ name: "applied before that", result: `${applied.join(", ")} (each was proven, and stays)` })
    }
    const count = typeof outcome.value === "number" ? outcome.value : 0
    const evidence = yield* Evidence.make({
      gate: "migrations",
      release: options.release,
      summary: (verdict) =>
        verdict !== "passed"
          ? `${findings.filter(({ severity }) => severity !== "note").length} finding(s); ${applied.length === 0 ? "the schema is unchanged" : `${applied.length} earlier migration(s) applied`}.`
          : options.mode === "prove"
            ? `${count} migration(s) could be applied; nothing was committed.`
            : count === 0
              ? "Nothing to apply."
              : `${count} migration(s) applied.`,
      checks,
      findings,
      startedAt
    })
    // A role that may only read can't keep it; it is printed in any case.
    if (yield* State.exists(session, "agents.evidence")) yield* Effect.ignore(Releases.keepEvidence(evidence))
    return evidence
  }).pipe(Effect.scoped)

/** `deliver migrate status`: what is applied, what is new, and what a run would say of the history. Changes nothing. */
export const status = (files: ReadonlyArray<MigrationFile>) =>
  Effect.gen(function* () {
    const session = yield* Effect.flatMap(Database, (database) => database.session)
    const state = yield* State.read(session)
    return { ...state, plan: plan(files, state.history) }
  }).pipe(Effect.scoped)
