/** `deliver release record`, `deliver release list`, `deliver release show` */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, text } from "./databaseFlags.ts"
import { CliError, type Verb } from "./Verb.ts"

const load = Effect.all({
  Support: Effect.promise(() => import("./gateSupport.ts")),
  Releases: Effect.promise(() => import("../../gates/Releases.ts")),
  Image: Effect.promise(() => import("../../gates/Image.ts")),
  State: Effect.promise(() => import("../../gates/migrations/State.ts")),
  Evidence: Effect.promise(() => import("../../gates/Evidence.ts")),
  CloudDeploy: Effect.promise(() => import("../../gates/record/CloudDeploy.ts")),
  RolloutRecord: Effect.promise(() => import("../../gates/record/RolloutRecord.ts"))
})

export const releaseRecordVerb: Verb = {
  name: "release record",
  summary: "Write down how far a release came here; retire those that were overtaken",
  example: "deliver release record --state deployed --target prod --rollout r-1",
  flags: {
    ...databaseFlags,
    state: {
      type: "string",
      value: "STATE",
      description: "deploying, deployed or retired; else deployed, and deploying before the last phase of a canary"
    },
    release: { type: "string", value: "COMMIT", description: "the release; else the one of this image" },
    target: { type: "string", value: "NAME", description: "the target; else CLOUD_DEPLOY_TARGET" },
    rollout: { type: "string", value: "NAME", description: "the rollout; else CLOUD_DEPLOY_ROLLOUT" }
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { Support, Releases, Image, State, Evidence, CloudDeploy, RolloutRecord } = yield* load
      const root = Image.root()
      const place = Evidence.placeFromEnv(process.env)
      const given = yield* text(args, "release")
      const own = given === undefined ? yield* Support.told(Image.release(root)) : undefined
      const release = given ?? own!
      const target = (yield* text(args, "target")) ?? place.target
      const rollout = (yield* text(args, "rollout")) ?? place.rollout
      const state =
        (yield* text(args, "state")) ??
        (place.phase === undefined || place.phase === "stable" ? "deployed" : "deploying")
      if (state !== "deploying" && state !== "deployed" && state !== "retired") {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message: `--state ${state} is not one that can be recorded. It is deploying, deployed or retired; "rollback-choice" follows from deploying another release.`
        })
      }
      if (state === "deploying" && own === undefined) {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message:
            "--state deploying needs the surface of the release, so it runs with that release's own image, without --release."
        })
      }
      const work = Effect.gen(function* () {
        if (state === "retired") return yield* Releases.retire(release)
        if (state === "deployed") return yield* Releases.markDeployed({ release, target, rollout })
        const surface = yield* Image.surface(root, Releases.SurfaceStatements)
        const to = yield* Releases.record({ release, surface: surface.json, target, rollout })
        return [{ release, from: undefined, to }]
      })
      const changes = yield* Support.withDatabase(
        args,
        work.pipe(Effect.catchTag("SqlError", (error) => Effect.fail(State.fromSqlError(error))))
      )
      const asked = CloudDeploy.placeFromEnv(process.env)
      const known =
        asked === undefined
          ? {
              images: [],
              approval: null,
              jobs: null,
              unknown: ["images, approval and jobs: there is no Cloud Deploy here to ask"]
            }
          : yield* CloudDeploy.learn(asked)
      if (target !== undefined && rollout !== undefined) {
        yield* Support.withDatabase(args, RolloutRecord.write({ target, rollout, release, phase: place.phase, known }))
      }
      return {
        exitCode: ExitCode.passed,
        text:
          changes.length === 0
            ? `${release} is ${state} already.`
            : changes
                .map(
                  ({ release, from, to }) =>
                    `${release}  ${from === undefined || from === to ? "" : `${from} -> `}${to}`
                )
                .join("\n"),
        json: { release, state, changes, unknown: known.unknown }
      }
    })
}

export const releaseListVerb: Verb = {
  name: "release list",
  summary: "Releases this database knows, and which of them may still run",
  example: "deliver release list --json",
  flags: databaseFlags,
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { Support, Releases, State } = yield* load
      const { records, live } = yield* Support.withDatabase(
        args,
        Effect.all({ records: Releases.list, live: Releases.alive }).pipe(Effect.mapError(State.fromSqlError))
      )
      const rows = records.map((record) => ({
        release: record.release,
        state: record.state,
        liveRunners: live.find((one) => one.release === record.release)?.runners ?? 0,
        target: record.target,
        rollout: record.rollout,
        recordedAt: record.recorded_at.toISOString(),
        deployedAt: record.deployed_at?.toISOString() ?? null
      }))
      const strangers = live.filter((one) => !records.some((record) => record.release === one.release))
      return {
        exitCode: ExitCode.passed,
        text: [
          ...rows.map(
            (row) =>
              `${row.release.padEnd(40)}  ${row.state.padEnd(15)}  ${`${row.liveRunners} runner(s)`.padEnd(12)}  ${row.target ?? "-"}  ${row.rollout ?? "-"}  ${row.deployedAt ?? "never deployed"}`
          ),
          ...strangers.map((one) => `${one.release.padEnd(40)}  not recorded     ${one.runners} runner(s)`),
          ...(rows.length + strangers.length === 0 ? ["No release is recorded here."] : [])
        ].join("\n"),
        json: { releases: rows, unrecorded: strangers }
      }
    })
}

export const releaseShowVerb: Verb = {
  name: "release show",
  summary: "How a release came here: images, surface, migrations, who approved it, each job's time, and what gates saw",
  example: "deliver release show 4f2a91c --json",
  flags: databaseFlags,
  positionals: ["release"],
  run: (args) =>
    Effect.gen(function* () {
      const { Support, RolloutRecord } = yield* load
      const [release] = args.positionals as [string]
      const rollouts = yield* Support.withDatabase(args, RolloutRecord.ofRelease(release))
      if (rollouts.length === 0) {
        return yield* new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `No rollout of a release ${release} is recorded here. "deliver release list" names the releases that were.`
        })
      }
      return {
        exitCode: ExitCode.passed,
        text: rollouts.map(RolloutRecord.toText).join("\n\n"),
        json: { rollouts }
      }
    })
}
