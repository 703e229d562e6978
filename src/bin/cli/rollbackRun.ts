/** Carries out `deliver rollback`. Apart from the verb, so that `--help` loads none of it. */
import { resolve } from "node:path"
import { Effect, Schema } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import * as Evidence from "../../gates/Evidence.ts"
import { fromSqlError } from "../../gates/migrations/State.ts"
import * as Releases from "../../gates/Releases.ts"
import * as CloudDeploy from "../../gates/rollback/CloudDeploy.ts"
import * as OlderImage from "../../gates/rollback/OlderImage.ts"
import { type Choice, plan, type Refusal, type Rollout, releaseIdOf } from "../../gates/rollback/Plan.ts"
import * as Recorded from "../../gates/rollback/Recorded.ts"
import * as PostgresOpenWork from "../../gates/workflows/PostgresOpenWork.ts"
import { text } from "./databaseFlags.ts"
import { told, withDatabase } from "./gateSupport.ts"
import { type Arguments, CliError, type Outcome } from "./Verb.ts"

const minutes = (value: unknown) =>
  typeof value === "string" && /^\d{1,5}$/.test(value)
    ? Effect.succeed(Number(value) * 60_000)
    : Effect.fail(
        new CliError({
          exitCode: ExitCode.usage,
          message: `--settled must be a whole number of minutes, not "${value}".`
        })
      )

interface Judged {
  readonly by: string
  readonly verdicts: ReadonlyArray<typeof Evidence.Evidence.Type>
}

/** Both gates of the older release: by its own image where that lies here, else by what it recorded. */
const judge = (args: Arguments, record: Releases.ReleaseRecord, target: string) =>
  Effect.gen(function* () {
    const app = yield* OlderImage.find(resolve(String(args.flags["images"])), record.release)
    if (app !== undefined) {
      const options = {
        databaseUrl: yield* text(args, "database-url"),
        env: { ...process.env, CLOUD_DEPLOY_TARGET: target }
      }
      return {
        by: `its own image (${app})`,
        verdicts: [yield* OlderImage.run(app, "workflows", options), yield* OlderImage.run(app, "migrations", options)]
      } satisfies Judged
    }
    const statements = yield* Schema.decodeUnknown(Releases.SurfaceStatements)(record.surface).pipe(
      Effect.mapError(
        () =>
          new CliError({
            exitCode: ExitCode.undecided,
            message: `The record of release ${record.release} holds no surface that can be read, so nothing tells what it needs. Run "deliver gate workflows" and "deliver gate migrations" with its own image.`
          })
      )
    )
    return {
      by: "what it recorded here; its own image judges again before its rollout changes anything",
      verdicts: [
        yield* Recorded.workflows(record).pipe(
          Effect.provide(PostgresOpenWork.layer),
          Effect.catchTag("OpenWorkUnreadable", ({ precondition, message }) =>
            Effect.fail(
              new CliError({ exitCode: precondition ? ExitCode.preconditionMissing : ExitCode.toolFailed, message })
            )
          )
        ),
        yield* Recorded.statements(record, statements.statements)
      ]
    } satisfies Judged
  })

const refusalOutcome = ({ finding, precondition }: Refusal): Outcome => ({
  exitCode: precondition
    ? ExitCode.preconditionMissing
    : finding.severity === "undecided"
      ? ExitCode.undecided
      : ExitCode.refused,
  text: [
    `rollback: ${finding.severity === "undecided" ? "UNDECIDED" : "REFUSED"}. ${finding.what}`,
    `  where   ${finding.where}`,
    `  why     ${finding.why}`,
    `  do      ${finding.fix}`,
    `  rule    ${finding.rule}`
  ].join("\n"),
  json: { verdict: finding.severity === "undecided" ? "undecided" : "refused", finding, choice: null, gates: [] }
})

const worst = (verdicts: ReadonlyArray<typeof Evidence.Evidence.Type>): Evidence.Verdict =>
  verdicts.some(({ verdict }) => verdict === "refused")
    ? "refused"
    : verdicts.some(({ verdict }) => verdict === "undecided")
      ? "undecided"
      : "passed"

const header = (target: string, choice: Choice) => [
  `rollback of ${target}: ${choice.from} -> ${choice.record.release}${choice.releaseId === undefined ? "" : ` (release ${choice.releaseId})`}`,
  ...choice.reasons.map((reason) => `  because ${reason}`)
]

/** Unlike any that Cloud Deploy counts by itself; the same second gives the same name, so a doubled call makes one. */
const rolloutIdOf = (releaseId: string, target: string, now: Date) =>
  `${releaseId}-rb-${target}-${Math.floor(now.getTime() / 1000).toString(36)}`.slice(0, 63)

const carryOut = (at: CloudDeploy.Place, target: string, choice: Choice) =>
  Effect.gen(function* () {
    for (const rollout of choice.cancel) yield* CloudDeploy.cancel(at, rollout)
    return yield* CloudDeploy.rollBack(at, {
      target,
      releaseId: choice.releaseId!,
      rolloutId: rolloutIdOf(choice.releaseId!, target, new Date()),
      rolloutToRollBack: choice.rolloutToRollBack
    })
  })

export const runRollback = (args: Arguments): Effect.Effect<Outcome, CliError> =>
  Effect.gen(function* () {
    const target = args.positionals[0]!
    const dryRun = args.flags["dry-run"] === true
    const settledMs = yield* minutes(args.flags["settled"])
    const pipeline = (yield* text(args, "delivery-pipeline")) ?? "agents"
    const given = { project: yield* text(args, "project"), region: yield* text(args, "region"), pipeline }
    const to = yield* text(args, "to")
    const at = yield* CloudDeploy.place(given, process.env).pipe(
      Effect.catchAll((error) => (dryRun ? Effect.succeed(undefined) : Effect.fail(error))),
      told
    )
    const rollouts: ReadonlyArray<Rollout> | undefined =
      at === undefined ? undefined : yield* told(CloudDeploy.rolloutsOf(at, target))

    const work = Effect.gen(function* () {
      const records = yield* Releases.list.pipe(Effect.mapError(fromSqlError))
      const live = (yield* Releases.alive.pipe(Effect.mapError(fromSqlError))).map(({ release }) => release)
      const choice = plan({
        target,
        now: new Date(),
        settledMs,
        records,
        live,
        rollouts,
        to,
        automated: args.flags["automated"] === true
      })
      if (choice._tag === "Refusal") return refusalOutcome(choice)
      const record = records.find(({ release }) => release === choice.record.release)!
      const judged = yield* judge(args, record, target).pipe(
        Effect.catchTag("SqlError", (error) => Effect.fail(fromSqlError(error)))
      )
      const verdict = worst(judged.verdicts)
      const shown = {
        verdict,
        choice: {
          release: choice.record.release,
          releaseId: choice.releaseId ?? null,
          from: choice.from,
          reasons: choice.reasons,
          cancel: choice.cancel
        },
        judgedBy: judged.by,
        gates: judged.verdicts.map(Evidence.toJson)
      }
      const lines = [
        ...header(target, choice),
        `  judged by ${judged.by}`,
        ...judged.verdicts.flatMap((one) => ["", Evidence.toText(one)]),
        ""
      ]
      const commands =
        at === undefined || choice.releaseId === undefined
          ? []
          : CloudDeploy.byHand(at, target, choice.releaseId, choice.cancel)
      if (verdict !== "passed") {
        return {
          exitCode: Evidence.exitCodeOf(verdict),
          text: [
            ...lines,
            `Nothing was rolled back: ${choice.record.release} ${verdict === "refused" ? "can't carry" : "may not carry"} what this database holds.`,
            "Ways out: wait for the executions named above to end; deploy a release that mends the fault and carries them; or name an older one with --to."
          ].join("\n"),
          json: { ...shown, rollout: null }
        }
      }
      if (dryRun || at === undefined) {
        return {
          exitCode: ExitCode.passed,
          text: [...lines, "Nothing was changed (--dry-run). It would do:", ...commands.map((one) => `  ${one}`)].join(
            "\n"
          ),
          json: { ...shown, rollout: null, commands }
        }
      }
      const made = yield* carryOut(at, target, choice)
      const id = made.rollout.slice(made.rollout.lastIndexOf("/") + 1)
      const where = `--release=${releaseIdOf(made.rollout)} --project=${at.project} --region=${at.region} --delivery-pipeline=${at.pipeline}`
      return {
        exitCode: ExitCode.passed,
        text: [
          ...lines,
          ...choice.cancel.map((name) => `Cancelled ${name.slice(name.lastIndexOf("/") + 1)}, which held the target.`),
          `Rollout ${id} is ${made.state}. Its own gates run before it changes anything.`,
          made.state === "PENDING_APPROVAL"
            ? `It needs an approval: gcloud deploy rollouts approve ${id} ${where}`
            : `Watch it: gcloud deploy rollouts describe ${id} ${where}`
        ].join("\n"),
        json: { ...shown, rollout: made, commands }
      }
    })
    return yield* withDatabase(args, work)
  })
