/**
 * `deliver rehearse`: sets up a whole platform on this machine, walks releases through it, and tears it down.
 *
 * Everything lives in one scope: whatever ends the rehearsal, an error, a refusal or Ctrl-C, ends every process too.
 */
import { mkdir, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { Duration, Effect, Schema, type Scope } from "effect"
import type { CallFailed } from "../drills/GatewayClient.ts"
import { type DeliveryConfigInvalid, readDelivery } from "./clouddeploy/DeliveryConfig.ts"
import * as Delivery from "./Delivery.ts"
import { drain } from "./Drain.ts"
import type { DriverFailed, ManifestRefused, NotFound } from "./drivers/Driver.ts"
import { PreconditionMissing, TargetUnknown, type ToolFailed } from "./Errors.ts"
import * as Lock from "./Lock.ts"
import type { LoopbackUnavailable } from "./net/Loopback.ts"
import { person } from "./Person.ts"
import * as Platform from "./Platform.ts"
import { type Progress, seconds } from "./Progress.ts"
import type * as Postgres from "./postgres/EmbeddedPostgres.ts"
import * as RolloutApi from "./RolloutApi.ts"
import * as Git from "./release/Git.ts"
import * as Release from "./release/Release.ts"
import * as Measured from "./report/Measured.ts"
import { Report, type Step } from "./report/Report.ts"
import { stateOf } from "./rollout/Rollout.ts"
import { type Target, verdictOf } from "./Target.ts"
import * as Tools from "./Tools.ts"
import { type Releases, walk } from "./Walk.ts"
import * as OnKubernetes from "./world/OnKubernetes.ts"
import * as OnProcesses from "./world/OnProcesses.ts"

export interface Options {
  /** Any folder of the repository. */
  readonly folder: string
  /** The last target of the walk; the pipeline's last when absent. */
  readonly until?: string
  readonly allowDirty: boolean
  readonly progress: Progress
  /** Hands the pods to a cluster; absent, they are processes of this machine. */
  readonly kubernetes?: OnKubernetes.Options
  /** Asked before a rollout to a target that requires approval. */
  readonly approve: (release: Release.Release, target: string) => Effect.Effect<boolean, ToolFailed>
}

export type RehearsalError =
  | PreconditionMissing
  | TargetUnknown
  | ToolFailed
  | DeliveryConfigInvalid
  | Postgres.PostgresUnavailable
  | LoopbackUnavailable
  | DriverFailed
  | ManifestRefused
  | NotFound
  | CallFailed

const HAZARD = join("test", "hazards", "rename-activity.json")

/** A predecessor for a repository that has none: the same code under another name. */
const HARMLESS = Release.Variant.make({ name: "predecessor", edits: [] })

/** The three releases, built side by side. The predecessor is the last tag or the commit before, where it can be released. */
const buildReleases = (options: {
  readonly repository: Git.Repository
  readonly cache: string
  readonly progress: Progress
}): Effect.Effect<Releases, PreconditionMissing | ToolFailed> =>
  Effect.gen(function* () {
    const { repository, cache, progress } = options
    const commit = yield* Git.resolveCommit(repository, "HEAD")
    const hazard = yield* Effect.tryPromise({
      try: () => readFile(join(repository.root, HAZARD), "utf8"),
      catch: () => new PreconditionMissing({ message: `${HAZARD} is missing: it describes the bad release.` })
    }).pipe(
      Effect.flatMap(Schema.decodeUnknown(Schema.parseJson(Schema.Struct({ edits: Release.Variant.fields.edits })))),
      Effect.mapError((error) =>
        error._tag === "ParseError"
          ? new PreconditionMissing({ message: `${HAZARD} can't be read: ${error.message}` })
          : error
      )
    )
    const earlier = yield* Git.predecessor(repository, commit)
    const released = earlier !== undefined && (yield* Git.holds(repository, earlier, Release.REQUIRED_PATHS))
    const build = (what: string, of: string, variant?: Release.Variant) =>
      Effect.timed(Release.make({ repository, cache, commit: of, ...(variant === undefined ? {} : { variant }) })).pipe(
        Effect.tap(([duration, release]) =>
          progress.say("build", `${release.name.padEnd(32)} ${what}, ${seconds(Duration.toMillis(duration))}`)
        ),
        Effect.map(([, release]) => release)
      )
    const made = build("a predecessor made of this commit, since none before it can be released", commit, HARMLESS)
    const [predecessor, current, bad] = yield* Effect.all(
      [
        released && earlier !== undefined
          ? build("the release before this commit", earlier).pipe(
              // An old commit that no longer builds must not keep anyone from rehearsing this one; but it is said.
              Effect.catchTag("ToolFailed", (error) =>
                progress
                  .say("build", `${earlier.slice(0, 8)} can't be built: ${error.message.split("\n").at(-1)}`)
                  .pipe(Effect.andThen(made))
              )
            )
          : made,
        build("this commit", commit),
        build(
          "this commit, with an activity renamed",
          commit,
          Release.Variant.make({ name: "rename-activity", edits: hazard.edits })
        )
      ],
      { concurrency: 2 }
    )
    return { predecessor, current, bad }
  })

/** Runs the drill that staging schedules, once, as its CronJob would. */
const drillOn = (files: Delivery.ReleaseFiles, progress: Progress) => (target: Target) =>
  Effect.gen(function* () {
    const where = target.stage.targetId
    const phase = target.stage.phases.at(-1)!
    const hook = yield* files.scheduled(phase.profiles, "drill-kill-runner")
    const outcome = yield* target.cluster.runJob(hook.job, { timeoutMs: hook.timeoutMs, env: {} })
    const verdict = verdictOf({ state: stateOf(outcome), exitCode: outcome.exitCode })
    yield* progress.say(where, `  drill kill-runner            ${verdict}  ${seconds(outcome.durationMs)}`)
    yield* progress.quote(outcome.log.slice(-12))
    const step: Step = {
      name: `drill kill-runner on ${where}`,
      target: where,
      release: target.deployed.at(-1)?.name ?? "",
      durationMs: outcome.durationMs,
      gates: [],
      outcome: verdict === "passed" ? "succeeded" : "failed",
      expected: verdict === "passed"
    }
    return step
  })

const until = (stages: ReadonlyArray<Delivery.DeliveryStage>, last: string | undefined) => {
  const names = stages.map((stage) => stage.targetId)
  if (last === undefined) return Effect.succeed(stages)
  return names.includes(last)
    ? Effect.succeed(stages.slice(0, names.indexOf(last) + 1))
    : new TargetUnknown({ message: `The pipeline has no target "${last}". It has: ${names.join(", ")}.` })
}

/** Runs one whole rehearsal. The report says whether it showed what it is there to show. */
export const rehearse = (options: Options): Effect.Effect<Report, RehearsalError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { progress } = options
      const repository = yield* Git.open(options.folder)
      const state = join(repository.root, ".rehearsal")
      const tools = yield* Tools.locate(repository.root)
      // What can be refused is refused before anything is built, started or written.
      yield* until(Delivery.stagesOf(yield* readDelivery(repository.root)), options.until)
      if (!options.allowDirty) yield* Git.requireClean(repository)
      yield* Lock.acquire(state)
      const run = join(state, "run")
      yield* Effect.promise(async () => {
        await rm(run, { recursive: true, force: true })
        await mkdir(run, { recursive: true })
      })

      const setup = {
        root: repository.root,
        run,
        tools,
        progress,
        build: buildReleases({ repository, cache: state, progress })
      }
      const world = yield* options.kubernetes === undefined
        ? OnProcesses.open(setup)
        : OnKubernetes.open(setup, options.kubernetes)
      const { releases, driver, platform, nodes, identity, startLoad } = world
      const api = world.reachedAt === undefined ? {} : { api: yield* RolloutApi.open(world.reachedAt, person()) }

      const all = [releases.predecessor, releases.current, releases.bad]
      const loaded = yield* Effect.forEach(all, (release) =>
        Delivery.load(release, tools.kustomize).pipe(Effect.map((files) => [release, files] as const))
      )
      const filesOf = (release: Release.Release) => loaded.find(([candidate]) => candidate === release)![1]
      const stages = yield* until(filesOf(releases.current).stages, options.until)

      const shared = yield* Platform.sharedObjects(releases.current.source, tools.kustomize)
      const targets = yield* Effect.forEach(
        stages,
        (stage): Effect.Effect<Target, ToolFailed | DriverFailed | ManifestRefused, Scope.Scope> =>
          Effect.gen(function* () {
            const cluster = yield* driver.open(stage.targetId)
            const own = yield* platform.target(stage.targetId, identity)
            for (const release of [releases.predecessor, releases.current]) {
              yield* cluster.check(yield* filesOf(release).everything([stage]))
            }
            yield* cluster.apply([...shared, ...own.objects.filter((object) => object.kind !== "Namespace")])
            return { stage, cluster, platform: own, deployed: [], ...api }
          })
      )

      const atTheEnd = ({ stage }: Target) => filesOf(releases.current).phase(stage.phases.at(-1)!, stage.targetId)
      const result = yield* walk({
        releases,
        filesOf,
        targets,
        progress,
        token: identity.token,
        approve: options.approve,
        drill: drillOn(filesOf(releases.current), progress),
        ...(nodes === undefined
          ? {}
          : {
              drain: (target) =>
                Effect.flatMap(Effect.all([nodes, atTheEnd(target).manifests]), ([names, objects]) =>
                  drain({ target, nodes: names, objects, progress })
                )
            }),
        startLoad: (target) => atTheEnd(target).verify.pipe(Effect.flatMap(([smoke]) => startLoad(target, smoke!)))
      })

      const { takeovers, runnerStarts } = yield* Measured.read(join(run, "pods"))
      const report = Report.make({
        production: stages.at(-1)!.targetId,
        requestsFailed: result.load?.requestsFailed ?? 0,
        executionsLost: result.executionsLost,
        eventsDoubled: result.eventsDoubled,
        passed: result.problems.length === 0,
        commit: releases.current.commit,
        durationMs: progress.elapsedMs(),
        requests: result.load?.requests ?? 0,
        runs: result.runs,
        latency: { p50: result.load?.p50 ?? 0, p95: result.load?.p95 ?? 0 },
        takeovers,
        runnerStarts,
        steps: result.steps,
        problems: result.problems
      })
      yield* Effect.promise(() =>
        writeFile(join(state, "report.json"), `${JSON.stringify(Schema.encodeSync(Report)(report), null, 2)}\n`)
      )
      return report
    })
  )
