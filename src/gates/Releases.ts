/**
 * Release records: which releases may run against this database, and what each of them needs from it.
 *
 * A database belongs to one target, so a release has one state in it:
 *
 *     deploying ──> deployed ──> rollback-choice ──> retired
 *         └──────────────────────────────────────────^
 *
 * Everything but `retired` counts as "may still run": its statements must work after every migration. The release that is
 * deployed and the one deployed before it always count, so a rollback by one step is always possible.
 */
import { SqlClient, type SqlError } from "@effect/sql"
import { Data, Effect, Option, Schema } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"
import * as Statement from "../domain/Statement.ts"
import * as Evidence from "./Evidence.ts"

export const State = Schema.Literal("deploying", "deployed", "rollback-choice", "retired")
export type State = typeof State.Type

/** The part of a surface that a schema must serve. The rest of the record is kept as it is. */
export const SurfaceStatements = Schema.Struct({
  statements: Schema.Array(
    Schema.Struct({
      name: Schema.String,
      text: Schema.String,
      /** Sample values with which a gate may run the statement under a savepoint. */
      probe: Schema.optional(Schema.Array(Schema.Unknown))
    })
  )
})
export type SurfaceStatements = typeof SurfaceStatements.Type

export class ReleaseRefused extends Data.TaggedError("ReleaseRefused")<{
  readonly exitCode: ExitCode
  readonly message: string
}> {}

const Row = Schema.Struct({
  release: Schema.String,
  state: State,
  surface: Schema.Unknown,
  image: Schema.NullOr(Schema.String),
  target: Schema.NullOr(Schema.String),
  rollout: Schema.NullOr(Schema.String),
  recorded_at: Schema.DateFromSelf,
  deployed_at: Schema.NullOr(Schema.DateFromSelf),
  retired_at: Schema.NullOr(Schema.DateFromSelf)
})
export type ReleaseRecord = typeof Row.Type

const listAll = Statement.make<[]>()({
  name: "releases.list",
  text: `select release, state, surface, image, target, rollout, recorded_at, deployed_at, retired_at
    from agents.releases order by recorded_at, release`,
  row: Row
})

/** One that was retired and comes back is recorded anew: what its gates and migrations left tells of its first time. */
const firstTrace = Statement.make<[release: string]>()({
  name: "releases.first-trace",
  text: `select least(r.recorded_at, (select min(e.recorded_at) from agents.evidence e where e.release = r.release)) as at
    from agents.releases r where r.release = $1`,
  row: Schema.Struct({ at: Schema.DateFromSelf })
})

/** A release that is recorded again keeps its place; only a retired one has to come back in as `deploying`. */
const upsert = Statement.make<
  [release: string, surface: string, image: string | null, target: string | null, rollout: string | null]
>()({
  name: "releases.record",
  text: `insert into agents.releases (release, surface, image, state, target, rollout)
    values ($1, $2::jsonb, $3, 'deploying', $4, $5)
    on conflict (release) do update set
      surface = excluded.surface,
      image = coalesce(excluded.image, releases.image),
      target = coalesce(excluded.target, releases.target),
      rollout = coalesce(excluded.rollout, releases.rollout),
      state = case when releases.state = 'retired' then 'deploying' else releases.state end,
      retired_at = null,
      recorded_at = case when releases.state = 'retired' then now() else releases.recorded_at end
    returning state`,
  row: Schema.Struct({ state: State }),
  probe: ["0000000000000000000000000000000000000000", "{}", null, null, null]
})

const setState = Statement.make<[release: string, state: State, target: string | null, rollout: string | null]>()({
  name: "releases.set-state",
  text: `update agents.releases set
      state = $2,
      target = coalesce($3, target),
      rollout = coalesce($4, rollout),
      deployed_at = case when $2 = 'deployed' then now() else deployed_at end,
      retired_at = case when $2 = 'retired' then now() else null end
    where release = $1`,
  row: Statement.NoRow
})

const lockAll = Statement.make<[]>()({
  name: "releases.lock",
  text: `select release from agents.releases order by release for update`,
  row: Statement.NoRow
})

/** `seen_at` is renewed while a runner lives; five minutes is far beyond any pause that a living one survives. */
const liveRunners = Statement.make<[]>()({
  name: "runners.live-releases",
  text: `select release, count(*)::int as runners from agents.runners
    where seen_at > now() - interval '5 minutes' group by release order by release`,
  row: Schema.Struct({ release: Schema.String, runners: Schema.Int })
})
export type LiveRelease = { readonly release: string; readonly runners: number }

/** Runners that live, and the port at which each answers gates: none in releases from before they could. */
const askableRunners = Statement.make<[]>()({
  name: "runners.askable",
  text: `select runner, release, (carries->'ask'->>'port')::int as port from agents.runners
    where seen_at > now() - interval '15 seconds' order by release, runner limit 100`,
  row: Schema.Struct({ runner: Schema.String, release: Schema.String, port: Schema.NullOr(Schema.Int) })
})

const appendEvidence = Statement.make<
  [
    release: string,
    gate: string,
    verdict: Evidence.Verdict,
    target: string | null,
    rollout: string | null,
    phase: string | null,
    evidence: string
  ]
>()({
  name: "evidence.append",
  text: `insert into agents.evidence (release, gate, verdict, target, rollout, phase, evidence)
    values ($1, $2, $3, $4, $5, $6, $7::jsonb)`,
  row: Statement.NoRow,
  probe: ["0000000000000000000000000000000000000000", "migrations", "passed", null, null, null, "{}"]
})

/** Statements of the gates themselves: they are not run by the runtime's role, which has no right to most of them. */
export const gateStatements: ReadonlySet<string> = new Set(
  [listAll, firstTrace, upsert, setState, lockAll, liveRunners, askableRunners, appendEvidence].map(({ name }) => name)
)

type Sql<A, E = never> = Effect.Effect<A, E | SqlError.SqlError, SqlClient.SqlClient>

/** All records, oldest first. */
export const list: Sql<ReadonlyArray<ReleaseRecord>> = listAll.run()

/** When a recorded release was first seen here, in ms since 1970: no runner of it can have been here before. */
export const firstSeen = (release: string): Sql<number> =>
  Effect.map(firstTrace.run(release), ([row]) => row?.at.getTime() ?? 0)

/** Releases of runners that are alive, recorded or not. */
export const alive: Sql<ReadonlyArray<LiveRelease>> = liveRunners.run()

/** Runners that renewed their row a moment ago, with the port where they answer gates. */
export const askable: Sql<
  ReadonlyArray<{ readonly runner: string; readonly release: string; readonly port: number | null }>
> = askableRunners.run()

/** Postgres' JSON holds neither NUL nor half of a surrogate pair, and a finding may quote names out of a damaged row. */
const storable = (_key: string, value: unknown): unknown =>
  typeof value === "string" ? value.toWellFormed().replaceAll("\0", "\ufffd") : value

/** Keeps a gate's evidence. */
export const keepEvidence = (evidence: Evidence.Evidence): Sql<void> =>
  appendEvidence
    .run(
      evidence.release,
      evidence.gate,
      evidence.verdict,
      evidence.target ?? null,
      evidence.rollout ?? null,
      evidence.phase ?? null,
      JSON.stringify(Evidence.toJson(evidence), storable)
    )
    .pipe(Effect.asVoid)

/** Records that a release may start to run, with its surface. What it answers is its state thereafter. */
export const record = (input: {
  readonly release: string
  readonly surface: unknown
  readonly image?: string | undefined
  readonly target?: string | undefined
  readonly rollout?: string | undefined
}): Sql<State> =>
  upsert
    .run(input.release, JSON.stringify(input.surface), input.image ?? null, input.target ?? null, input.rollout ?? null)
    .pipe(Effect.map((rows) => rows[0]?.state ?? "deploying"))

export interface Change {
  readonly release: string
  readonly from: State
  readonly to: State
}

/**
 * What changes when a release is deployed. Pure.
 *
 * The one deployed until now becomes the rollback choice. Whatever else was recorded *before* the deployed release is
 * retired: it was overtaken. One recorded after it stays: it is on its way. Demotions come first, since only one release can
 * be deployed at any moment.
 */
export const whenDeployed = (
  records: ReadonlyArray<Pick<ReleaseRecord, "release" | "state" | "recorded_at">>,
  release: string
): ReadonlyArray<Change> => {
  const self = records.find((record) => record.release === release)
  if (self === undefined || self.state === "deployed") return []
  const demoted = records
    .filter((record) => record.release !== release && record.state !== "retired")
    .flatMap((record): ReadonlyArray<Change> => {
      const to =
        record.state === "deployed"
          ? "rollback-choice"
          : record.state === "deploying" && record.recorded_at > self.recorded_at
            ? undefined
            : "retired"
      return to === undefined ? [] : [{ release: record.release, from: record.state, to }]
    })
  return [...demoted, { release, from: self.state, to: "deployed" }]
}

const refused = (exitCode: ExitCode, message: string) => Effect.fail(new ReleaseRefused({ exitCode, message }))

/** Marks a release as deployed, the former one as the rollback choice, and retires what was overtaken. In one transaction. */
export const markDeployed = (input: {
  readonly release: string
  readonly target?: string | undefined
  readonly rollout?: string | undefined
}): Sql<ReadonlyArray<Change>, ReleaseRefused> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* lockAll.run()
        const records = yield* list
        if (!records.some((record) => record.release === input.release)) {
          return yield* refused(
            ExitCode.preconditionMissing,
            `Release ${input.release} was never recorded in this database, so its migrations were not proven here. Run "deliver migrate up" with its image first.`
          )
        }
        const changes = whenDeployed(records, input.release)
        for (const change of changes) {
          const self = change.release === input.release
          yield* setState.run(
            change.release,
            change.to,
            self ? (input.target ?? null) : null,
            self ? (input.rollout ?? null) : null
          )
        }
        return changes
      })
    )
  })

/** Takes a release out of what may still run: a canary that was given up. Refuses while it is deployed or has live runners. */
export const retire = (release: string): Sql<ReadonlyArray<Change>, ReleaseRefused> =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    return yield* sql.withTransaction(
      Effect.gen(function* () {
        yield* lockAll.run()
        const found = Option.fromNullable((yield* list).find((record) => record.release === release))
        if (Option.isNone(found)) {
          return yield* refused(ExitCode.preconditionMissing, `Release ${release} is not recorded in this database.`)
        }
        if (found.value.state === "retired") return []
        if (found.value.state === "deployed") {
          return yield* refused(
            ExitCode.refused,
            `Release ${release} is the deployed one; its runners need their statements. Deploy another release first: this one is retired when it is no longer the rollback choice.`
          )
        }
        const live = (yield* alive).find((one) => one.release === release)
        if (live !== undefined) {
          return yield* refused(
            ExitCode.refused,
            `Release ${release} still has ${live.runners} live runner(s), which need their statements. End them first: roll back or finish the rollout.`
          )
        }
        yield* setState.run(release, "retired", null, null)
        return [{ release, from: found.value.state, to: "retired" as const }]
      })
    )
  })
