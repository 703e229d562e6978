/** The record of a rollout in its environment's database: `agents.rollouts`. Written by the rollout's last hook, read by `deliver release show`. */
import { createHash } from "node:crypto"
import { Effect } from "effect"
import { canonicalText } from "../../surface/Shape.ts"
import { Database, type DatabaseUnavailable, type StatementFailed } from "../Database.ts"
import type { Approval, JobTime, Known } from "./CloudDeploy.ts"

export interface EvidenceOf {
  readonly id: number
  readonly gate: string
  readonly phase: string | null
  readonly verdict: string
  readonly seconds: number
}

export interface RolloutRecord {
  readonly target: string
  readonly rollout: string
  readonly release: string
  readonly phase: string | null
  readonly images: Known["images"]
  readonly surfaceSha256: string | null
  readonly migrations: ReadonlyArray<string>
  readonly approval: Approval | null
  readonly jobs: ReadonlyArray<JobTime> | null
  readonly evidence: ReadonlyArray<EvidenceOf>
  readonly unknown: ReadonlyArray<string>
  readonly recordedAt: string
}

type Failure = StatementFailed | DatabaseUnavailable

const THERE = "select to_regclass('agents.rollouts') is not null as there"

/** A release that goes back to this database before 0014 can't come here: it would have to bring the table along. */
const opened = Effect.gen(function* () {
  const session = yield* Effect.flatMap(Database, ({ session }) => session)
  const [row] = yield* session.query<{ there: boolean }>(THERE)
  return row?.there === true ? session : undefined
})

const EVIDENCE = `
select evidence_id::int as id, gate, phase, verdict,
  extract(epoch from (evidence->>'finishedAt')::timestamptz - (evidence->>'startedAt')::timestamptz)::float8 as seconds
from agents.evidence where rollout = $1 and target = $2 order by evidence_id`

/** Of the rollout's own gates too: it is its last hook that writes this. */
const WRITE = `
insert into agents.rollouts (target, rollout, release, phase, images, surface_sha256, migrations, approval, jobs, evidence, unknown)
values ($1, $2, $3, $4, $5::jsonb, $6,
  (select coalesce(jsonb_agg(name order by name), '[]') from agents.migration_checksums where release = $3),
  $7::jsonb, $8::jsonb, $9::jsonb, $10::jsonb)
on conflict (target, rollout) do update set
  release = excluded.release, phase = excluded.phase, surface_sha256 = excluded.surface_sha256, migrations = excluded.migrations,
  images = case when jsonb_array_length(excluded.images) > 0 then excluded.images else rollouts.images end,
  -- What an earlier phase could ask is not lost when a later one can't.
  approval = coalesce(excluded.approval, rollouts.approval), jobs = coalesce(excluded.jobs, rollouts.jobs),
  evidence = excluded.evidence, unknown = excluded.unknown, recorded_at = now()`

export const write = (input: {
  readonly target: string
  readonly rollout: string
  readonly release: string
  readonly phase: string | undefined
  readonly known: Known
}): Effect.Effect<boolean, Failure, Database> =>
  Effect.gen(function* () {
    const session = yield* opened
    if (session === undefined) return false
    const [surface] = yield* session.query<{ surface: unknown }>(
      "select surface from agents.releases where release = $1",
      [input.release]
    )
    const evidence = yield* session.query<EvidenceOf>(EVIDENCE, [input.rollout, input.target])
    const { images, approval, jobs, unknown } = input.known
    yield* session.query(WRITE, [
      input.target,
      input.rollout,
      input.release,
      input.phase ?? null,
      JSON.stringify(images),
      surface === undefined ? null : createHash("sha256").update(canonicalText(surface.surface)).digest("hex"),
      approval === null ? null : JSON.stringify(approval),
      jobs === null ? null : JSON.stringify(jobs),
      JSON.stringify(evidence),
      JSON.stringify(unknown)
    ])
    return true
  }).pipe(Effect.scoped)

/** All rollouts of releases whose commit begins so, oldest first. */
export const ofRelease = (prefix: string): Effect.Effect<ReadonlyArray<RolloutRecord>, Failure, Database> =>
  Effect.gen(function* () {
    const session = yield* opened
    if (session === undefined) return []
    return yield* session.query<RolloutRecord>(
      `select target, rollout, release, phase, images, surface_sha256 as "surfaceSha256", migrations, approval, jobs, evidence, unknown,
         to_char(recorded_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as "recordedAt"
       from agents.rollouts where starts_with(release, $1) order by recorded_at limit 200`,
      [prefix]
    )
  }).pipe(Effect.scoped)

const took = ({ startedAt, endedAt }: JobTime) =>
  endedAt === null ? "still running" : `${((Date.parse(endedAt) - Date.parse(startedAt)) / 1000).toFixed(1)} s`

const approvalText = (approval: Approval | null): string =>
  approval === null
    ? "not known"
    : approval.state === "APPROVED"
      ? `by ${approval.by ?? "somebody who is not known"}${approval.at === null ? "" : ` at ${approval.at}`}`
      : approval.state === "DOES_NOT_NEED_APPROVAL"
        ? "not needed"
        : approval.state

export const toText = (record: RolloutRecord): string =>
  [
    `${record.target}  ${record.rollout}  ${record.phase ?? ""}`.trimEnd(),
    `  release     ${record.release}`,
    ...record.images.map(({ tag }) => `  image       ${tag}`),
    `  surface     ${record.surfaceSha256 ?? "not recorded"}`,
    `  migrations  ${record.migrations.length === 0 ? "none of its own" : record.migrations.join(", ")}`,
    `  approved    ${approvalText(record.approval)}`,
    ...(record.jobs ?? []).map(
      (job) => `  job         ${job.phase} / ${job.job}: ${job.state}, ${took(job)}, from ${job.startedAt}`
    ),
    ...record.evidence.map(
      ({ id, gate, phase, verdict, seconds }) =>
        `  evidence    ${id}  ${gate}${phase === null ? "" : ` / ${phase}`}: ${verdict}, ${seconds.toFixed(1)} s`
    ),
    ...record.unknown.map((what) => `  not known   ${what}`),
    `  recorded    ${record.recordedAt}`
  ].join("\n")
