/** Carries out `deliver gate workflows`. Apart from the verb, so that `--help` loads none of it. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import { declarations, entities } from "../../agent/registry.ts"
import { AUDIENCE } from "../../domain/CarryQuestion.ts"
import { ExitCode } from "../../domain/ExitCode.ts"
import * as Evidence from "../../gates/Evidence.ts"
import * as Image from "../../gates/Image.ts"
import * as Releases from "../../gates/Releases.ts"
import { ask } from "../../gates/workflows/AskRunners.ts"
import * as Gate from "../../gates/workflows/Gate.ts"
import * as OtherReleases from "../../gates/workflows/OtherReleases.ts"
import * as Places from "../../gates/workflows/Places.ts"
import * as PostgresOpenWork from "../../gates/workflows/PostgresOpenWork.ts"
import * as Replay from "../../gates/workflows/replay/Replay.ts"
import * as ServiceToken from "../../gateway/edge/ServiceToken.ts"
import { Reader, readSharding } from "../../runtime/Settings.ts"
import { driftOf, FILE } from "../../surface/file.ts"
import * as Surface from "../../surface/Surface.ts"
import { text } from "./databaseFlags.ts"
import { outcomeOf, told, withDatabase } from "./gateSupport.ts"
import { handlers } from "./replayHandlers.ts"
import { currentSurface } from "./surfaceSource.ts"
import { type Arguments, CliError, type Outcome } from "./Verb.ts"

const readOwn = (root: string) =>
  Effect.tryPromise({
    try: () => readFile(join(root, FILE), "utf8"),
    catch: (cause) =>
      new CliError({
        exitCode: ExitCode.preconditionMissing,
        message: `${join(root, FILE)} can't be read: ${cause instanceof Error ? cause.message : cause}. "deliver surface" makes it; it is committed and part of the image.`
      })
  }).pipe(
    Effect.flatMap((text) => Surface.parse(text, join(root, FILE))),
    Effect.catchTag(
      "SurfaceUnreadable",
      ({ message }) =>
        new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `${message} Run "deliver surface" and commit the result.`
        })
    )
  )

/** What is recorded of a release, and compared by every later gate, must be what its code does. */
const driftFindings = (own: Surface.Surface): Effect.Effect<ReadonlyArray<Evidence.Finding>> =>
  Effect.map(currentSurface, (surface) => {
    const changed = driftOf(Surface.toJson(own), surface)
    if (changed.length === 0) return []
    return [
      {
        rule: "surface-drift",
        severity: "hazard",
        what: `${FILE} of this image is not what its code says.`,
        where: `${FILE}, in ${changed.length} place(s)`,
        why: "The file is recorded as what this release promises; the gates of every later release would compare with something else than what ran.",
        fix: 'Run "deliver surface", read the change, commit it, and build the image again.',
        detail: changed.slice(0, 5).join("\n")
      }
    ]
  })

/** The overlay may set other shards than the code's defaults: what the runners will really have is judged. */
const sharding = (surface: Surface.Surface) => {
  const { shardsPerGroup, groups } = surface.sharding
  const reader = new Reader({
    SHARDS_PER_GROUP: String(shardsPerGroup),
    SHARD_GROUPS: groups.join(","),
    ...set(process.env)
  })
  const given = readSharding(reader)
  return reader.problems.length > 0
    ? Effect.fail(
        new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `The environment of this gate is wrong: ${reader.problems.join("; ")}.`
        })
      )
    : Effect.succeed({ shardsPerGroup: given.shardsPerGroup, groups: [...given.shardGroups].sort() })
}

const set = (env: NodeJS.ProcessEnv) => Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""))

const summary = (checks: ReadonlyArray<Evidence.Check>) => (verdict: Evidence.Verdict) => {
  const open = checks.find(({ name }) => name === "open executions")?.result ?? "none"
  return verdict === "passed"
    ? `This release can carry what this database holds. Open executions: ${open}.`
    : verdict === "refused"
      ? `This release would strand work in flight. Open executions: ${open}.`
      : `Whether this release can carry what this database holds can't be told; a person must look. Open executions: ${open}.`
}

/**
 * Beside runners of its own a gate asks those of the other releases: they alone can tell what they make of what it started.
 * Outside of a cluster (no RUNNER_HOSTS) nobody can be asked.
 */
const askOthers = (release: string) =>
  Effect.gen(function* () {
    const hosts = process.env["RUNNER_HOSTS"] ?? ""
    const runners = hosts === "" ? [] : yield* Releases.askable
    if (!runners.some((one) => one.release === release)) return { findings: [], checks: [] }
    const token = yield* ServiceToken.make({
      metadataHost: process.env["GCE_METADATA_HOST"] ?? "metadata.google.internal",
      audience: AUDIENCE
    })
    return yield* ask({
      release,
      hosts,
      runners: runners.map((one) => ({ ...one, port: one.port ?? undefined })),
      token: Effect.map(token, Redacted.value)
    })
  })

export const runWorkflows = (args: Arguments): Effect.Effect<Outcome, CliError> =>
  Effect.gen(function* () {
    const startedAt = new Date()
    const root = Image.root()
    const release = (yield* text(args, "release")) ?? (yield* told(Image.release(root)))
    const own = yield* readOwn(root)
    const surface = { ...own, sharding: yield* sharding(own) }
    const drift = yield* driftFindings(own)

    const work = Effect.gen(function* () {
      const { others, before } = yield* OtherReleases.read(release)
      const replayer = yield* Replay.make(handlers)
      const places = Places.read(root)
      const result = yield* Gate.judge({
        release,
        surface,
        declarations,
        entities,
        others,
        before,
        replayer,
        place: (subject) => Places.placeOf(places, subject)
      }).pipe(
        Effect.provide(PostgresOpenWork.layer),
        Effect.catchTag(
          "OpenWorkUnreadable",
          ({ precondition, message }) =>
            new CliError({ exitCode: precondition ? ExitCode.preconditionMissing : ExitCode.toolFailed, message })
        )
      )
      const asked = others === undefined ? { findings: [], checks: [] } : yield* askOthers(release)
      const evidence = (kept: string) =>
        Evidence.make({
          gate: "workflows",
          release,
          summary: summary(result.checks),
          checks: [...result.checks, ...asked.checks, { name: "evidence", result: kept }],
          findings: [...drift, ...result.findings, ...asked.findings],
          startedAt
        })
      if (others === undefined) return yield* evidence("not kept: this database has no table for it yet")
      const made = yield* evidence("kept in agents.evidence")
      return yield* Releases.keepEvidence(made).pipe(
        Effect.as(made),
        // The verdict stands whether or not its record could be written; but it must not claim to be kept.
        Effect.catchTag("SqlError", ({ cause }) =>
          evidence(`not kept: ${cause instanceof Error ? cause.message : "the database refused it"}`)
        )
      )
    })
    return outcomeOf(
      yield* withDatabase(
        args,
        work.pipe(
          Effect.scoped,
          Effect.catchTag(
            "SqlError",
            ({ cause }) =>
              new CliError({
                exitCode: ExitCode.toolFailed,
                message: `The release records can't be read: ${cause instanceof Error ? cause.message : "the database refused"}. Nothing was judged; run the gate again.`
              })
          )
        )
      )
    )
  })
