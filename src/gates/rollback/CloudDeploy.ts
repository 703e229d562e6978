/**
 * The little of Cloud Deploy's API that a rollback needs: list a target's rollouts, cancel one, make one.
 *
 * Not by way of gcloud: its `targets rollback` chooses the release by itself unless told, and it can't say beforehand what
 * holds the target. Google's endpoint and the rehearsal's speak the same API; each request has a deadline.
 */
import { execFile } from "node:child_process"
import { readFile } from "node:fs/promises"
import { Data, Duration, Effect, Schedule, Schema } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import type { Rollout } from "./Plan.ts"

export class CloudDeployFailed extends Data.TaggedError("CloudDeployFailed")<{
  readonly exitCode: ExitCode
  readonly message: string
}> {}

export interface Place {
  /** Ends with a slash. */
  readonly endpoint: string
  readonly project: string
  readonly region: string
  readonly pipeline: string
  readonly token: Effect.Effect<string | undefined, CloudDeployFailed>
}

const REQUEST_TIMEOUT = Duration.seconds(20)
const PAGE = 1000
/** So many pages of rollouts are read; more than a target sees in years. */
const PAGES = 20
const CANCELLING = Duration.minutes(2)

const missing = (message: string) => new CloudDeployFailed({ exitCode: ExitCode.preconditionMissing, message })
const failed = (message: string) => new CloudDeployFailed({ exitCode: ExitCode.toolFailed, message })

const gcloud = (...args: ReadonlyArray<string>) =>
  Effect.async<string, CloudDeployFailed>((resume) => {
    const child = execFile("gcloud", args, { timeout: 30_000 }, (error, stdout) =>
      resume(
        error === null
          ? Effect.succeed(stdout.trim())
          : missing(
              `gcloud ${args.join(" ")} failed, and without a token Cloud Deploy can't be asked. Sign in with "gcloud auth login", or point CLOUDSDK_AUTH_ACCESS_TOKEN_FILE at a token.`
            )
      )
    )
    return Effect.sync(() => child.kill())
  })

/** Where Cloud Deploy is, from the flags and the variables that gcloud itself reads (`deliver serve --env` prints them). */
export const place = (
  given: { readonly project?: string | undefined; readonly region?: string | undefined; readonly pipeline: string },
  env: Readonly<Record<string, string | undefined>>
): Effect.Effect<Place, CloudDeployFailed> => {
  const project = given.project ?? env["CLOUDSDK_CORE_PROJECT"]
  const region = given.region ?? env["CLOUDSDK_DEPLOY_REGION"]
  if (project === undefined || project === "" || region === undefined || region === "") {
    return Effect.fail(
      missing(
        'Which Cloud Deploy to ask is not known. Give --project and --region, or set CLOUDSDK_CORE_PROJECT and CLOUDSDK_DEPLOY_REGION; for the rehearsal: eval "$(deliver serve --env)".'
      )
    )
  }
  const override = env["CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDDEPLOY"]
  const file = env["CLOUDSDK_AUTH_ACCESS_TOKEN_FILE"]
  return Effect.succeed({
    endpoint: override === undefined || override === "" ? "https://clouddeploy.googleapis.com/" : override,
    project,
    region,
    pipeline: given.pipeline,
    token:
      env["CLOUDSDK_AUTH_DISABLE_CREDENTIALS"] !== undefined
        ? Effect.succeed(undefined)
        : file !== undefined && file !== ""
          ? Effect.tryPromise({
              try: async () => (await readFile(file, "utf8")).trim(),
              catch: () => missing(`CLOUDSDK_AUTH_ACCESS_TOKEN_FILE names ${file}, which can't be read.`)
            })
          : gcloud("auth", "print-access-token")
  })
}

const GoogleFailure = Schema.Struct({ error: Schema.Struct({ message: Schema.String }) })
const RolloutJson = Schema.Struct({
  name: Schema.String,
  targetId: Schema.optional(Schema.String),
  state: Schema.optionalWith(Schema.String, { default: () => "STATE_UNSPECIFIED" }),
  createTime: Schema.optionalWith(Schema.Date, { default: () => new Date(0) })
})
const RolloutPage = Schema.Struct({
  rollouts: Schema.optionalWith(Schema.Array(RolloutJson), { default: () => [] }),
  nextPageToken: Schema.optional(Schema.String)
})

const request = <A, I>(
  at: Place,
  method: "GET" | "POST",
  path: string,
  schema: Schema.Schema<A, I>,
  body?: unknown
): Effect.Effect<A, CloudDeployFailed> =>
  Effect.gen(function* () {
    const token = yield* at.token
    const [status, text] = yield* Effect.tryPromise({
      try: async (signal) => {
        const response = await fetch(`${at.endpoint}v1/${path}`, {
          method,
          signal,
          headers: {
            "content-type": "application/json",
            ...(token === undefined ? {} : { authorization: `Bearer ${token}` })
          },
          ...(body === undefined ? {} : { body: JSON.stringify(body) })
        })
        return [response.status, await response.text()] as const
      },
      catch: (cause) =>
        failed(
          `Cloud Deploy at ${at.endpoint} can't be reached: ${cause instanceof Error ? cause.message : cause}. Nothing was changed by this request; run the same command again.`
        )
    }).pipe(
      Effect.timeoutFail({
        duration: REQUEST_TIMEOUT,
        onTimeout: () =>
          failed(
            `Cloud Deploy at ${at.endpoint} did not answer within ${Duration.toSeconds(REQUEST_TIMEOUT)} s. Look at the target's rollouts before you run the command again.`
          )
      })
    )
    if (status !== 200) {
      const said = Schema.decodeUnknownOption(Schema.parseJson(GoogleFailure))(text)
      const words = said._tag === "Some" ? said.value.error.message : `status ${status}`
      return yield* status === 401 || status === 403 || status === 404 || status === 400 || status === 409
        ? missing(`Cloud Deploy refused: ${words}`)
        : failed(`Cloud Deploy failed: ${words}`)
    }
    return yield* Schema.decodeUnknown(Schema.parseJson(schema))(text).pipe(
      Effect.mapError(() => failed(`Cloud Deploy answered ${path} with something else than it documents.`))
    )
  })

const pipelineName = ({ project, region, pipeline }: Place) =>
  `projects/${project}/locations/${region}/deliveryPipelines/${pipeline}`

/** All rollouts to a target, of all releases of the pipeline. */
export const rolloutsOf = (at: Place, target: string): Effect.Effect<ReadonlyArray<Rollout>, CloudDeployFailed> =>
  Effect.gen(function* () {
    const all: Array<Rollout> = []
    let token: string | undefined = ""
    for (let page = 0; token !== undefined && page < PAGES; page++) {
      const query = new URLSearchParams({
        pageSize: String(PAGE),
        filter: `targetId="${target}"`,
        ...(token === "" ? {} : { pageToken: token })
      })
      const path = `${pipelineName(at)}/releases/-/rollouts?${query}`
      const got: typeof RolloutPage.Type = yield* request(at, "GET", path, RolloutPage)
      for (const { name, state, createTime, targetId } of got.rollouts) {
        if (targetId === target) all.push({ name, state, createdAt: createTime })
      }
      token = got.nextPageToken === "" ? undefined : got.nextPageToken
    }
    return all
  })

const OVER = ["CANCELLED", "FAILED", "SUCCEEDED", "APPROVAL_REJECTED", "HALTED"]

/** Takes a rollout off its target, whatever its pods do. Bounded: a job that does not stop is told, not waited for. */
export const cancel = (at: Place, rollout: string): Effect.Effect<string, CloudDeployFailed> =>
  request(at, "POST", `${rollout}:cancel`, Schema.Unknown, {}).pipe(
    Effect.zipRight(
      request(at, "GET", rollout, RolloutJson).pipe(
        Effect.repeat({
          until: ({ state }) => OVER.includes(state),
          schedule: Schedule.spaced("500 millis").pipe(Schedule.upTo(CANCELLING))
        }),
        Effect.zipRight(request(at, "GET", rollout, RolloutJson))
      )
    ),
    Effect.flatMap(({ state }) =>
      OVER.includes(state)
        ? Effect.succeed(state)
        : failed(
            `Rollout ${rollout} was told to stop and is ${state} after ${Duration.toMinutes(CANCELLING)} minutes. Terminate its job run ("gcloud deploy job-runs terminate"), then run the same command again.`
          )
    )
  )

export interface Made {
  readonly rollout: string
  readonly state: string
}

/** Makes the rollback: an ordinary rollout of that very release, from its last phase, so with all of its own gates. */
export const rollBack = (
  at: Place,
  input: {
    readonly target: string
    readonly releaseId: string
    readonly rolloutId: string
    readonly rolloutToRollBack: string | undefined
  }
): Effect.Effect<Made, CloudDeployFailed> =>
  request(at, "POST", `${pipelineName(at)}:rollbackTarget`, Schema.Unknown, {
    targetId: input.target,
    releaseId: input.releaseId,
    rolloutId: input.rolloutId,
    ...(input.rolloutToRollBack === undefined ? {} : { rolloutToRollBack: input.rolloutToRollBack }),
    rollbackConfig: { startingPhaseId: "stable" }
  }).pipe(
    Effect.zipRight(
      request(at, "GET", `${pipelineName(at)}/releases/${input.releaseId}/rollouts/${input.rolloutId}`, RolloutJson)
    ),
    Effect.map(({ name, state }) => ({ rollout: name, state }))
  )

/** The same by hand, for those who may not use the API from here. Never without `--release`. */
export const byHand = (
  at: Pick<Place, "project" | "region" | "pipeline">,
  target: string,
  releaseId: string,
  cancelled: ReadonlyArray<string>
): ReadonlyArray<string> => {
  const where = `--project=${at.project} --region=${at.region} --delivery-pipeline=${at.pipeline}`
  return [
    ...cancelled.map((name) => {
      const [, release = "", , rollout = ""] = /releases\/([^/]+)(\/rollouts\/)([^/]+)$/.exec(name) ?? []
      return `gcloud deploy rollouts cancel ${rollout} --release=${release} ${where}`
    }),
    `gcloud deploy targets rollback ${target} --release=${releaseId} ${where}`
  ]
}
