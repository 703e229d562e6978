/**
 * What Cloud Deploy and the audit log know of a rollout: images, approval, and when each job ran. Asked by the rollout's own last hook, as
 * the account of its pod. A rollout's resource says when it was approved and not by whom; only the audit log does.
 *
 * What can't be asked is said and never fails a rollout that has just ended well.
 */
import { Effect, Either, Schema } from "effect"

export interface Place {
  readonly project: string
  readonly location: string
  readonly pipeline: string
  readonly release: string
  readonly rollout: string
  /** `https://clouddeploy.googleapis.com` and `https://logging.googleapis.com`, from the environment's ConfigMap. */
  readonly api: string
  readonly logging: string | undefined
  /** A rehearsal's own. Undefined on Google Cloud, where the metadata server gives one. */
  readonly token: string | undefined
  readonly metadata: string
}

export interface Approval {
  readonly state: string
  readonly at: string | null
  readonly by: string | null
}

export interface JobTime {
  readonly phase: string
  readonly job: string
  readonly state: string
  readonly startedAt: string
  /** Null while it runs: the job that asks is one of them. */
  readonly endedAt: string | null
}

export interface Known {
  readonly images: ReadonlyArray<{ readonly name: string; readonly tag: string }>
  readonly approval: Approval | null
  readonly jobs: ReadonlyArray<JobTime> | null
  readonly unknown: ReadonlyArray<string>
}

const Release = Schema.Struct({
  buildArtifacts: Schema.optionalWith(Schema.Array(Schema.Struct({ image: Schema.String, tag: Schema.String })), {
    default: () => []
  })
})
const Rollout = Schema.Struct({
  createTime: Schema.String,
  approvalState: Schema.optionalWith(Schema.String, { default: () => "DOES_NOT_NEED_APPROVAL" }),
  approveTime: Schema.optional(Schema.String)
})
const JobRuns = Schema.Struct({
  jobRuns: Schema.optionalWith(
    Schema.Array(
      Schema.Struct({
        phaseId: Schema.String,
        jobId: Schema.String,
        state: Schema.String,
        startTime: Schema.optional(Schema.String),
        endTime: Schema.optional(Schema.String)
      })
    ),
    { default: () => [] }
  ),
  nextPageToken: Schema.optional(Schema.String)
})
const Entries = Schema.Struct({
  entries: Schema.optionalWith(
    Schema.Array(
      Schema.Struct({
        protoPayload: Schema.Struct({
          authenticationInfo: Schema.optional(Schema.Struct({ principalEmail: Schema.optional(Schema.String) })),
          request: Schema.optional(Schema.Struct({ approved: Schema.optional(Schema.Boolean) }))
        })
      })
    ),
    { default: () => [] }
  )
})
const Token = Schema.Struct({ access_token: Schema.String })

/** Undefined where there is no Cloud Deploy to ask: by hand. */
export const placeFromEnv = (env: Readonly<Record<string, string | undefined>>): Place | undefined => {
  const get = (name: string) => (env[name] === "" ? undefined : env[name])
  const [api, project, location] = [
    get("CLOUD_DEPLOY_API_URL"),
    get("CLOUD_DEPLOY_PROJECT_ID"),
    get("CLOUD_DEPLOY_LOCATION")
  ]
  const [pipeline, release, rollout] = [
    get("CLOUD_DEPLOY_DELIVERY_PIPELINE"),
    get("CLOUD_DEPLOY_RELEASE"),
    get("CLOUD_DEPLOY_ROLLOUT")
  ]
  return api === undefined ||
    project === undefined ||
    location === undefined ||
    pipeline === undefined ||
    release === undefined ||
    rollout === undefined
    ? undefined
    : {
        ...{ api, project, location, pipeline, release, rollout },
        logging: get("CLOUD_LOGGING_API_URL"),
        token: get("CLOUD_DEPLOY_API_TOKEN"),
        metadata: `http://${get("GCE_METADATA_HOST") ?? "metadata.google.internal"}`
      }
}

const ask = <A, I>(schema: Schema.Schema<A, I>, url: string, init: RequestInit): Effect.Effect<A, string> =>
  Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, { ...init, signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)]) })
      const text = await response.text()
      if (!response.ok) throw new Error(`${new URL(url).host} answered ${response.status}: ${text.slice(0, 200)}`)
      return JSON.parse(text) as unknown
    },
    catch: (cause) => (cause instanceof Error ? cause.message : String(cause))
  }).pipe(
    Effect.retry({ times: 2 }),
    Effect.flatMap((body) =>
      Effect.mapError(Schema.decodeUnknown(schema)(body), ({ message }) => message.split("\n").at(-1)!.trim())
    )
  )

/** Entries of the audit log are no older than the rollout; without a bound, only the last day is searched. */
const approvals = (rolloutName: string, project: string, since: string) => ({
  resourceNames: [`projects/${project}`],
  filter: [
    `logName="projects/${project}/logs/cloudaudit.googleapis.com%2Factivity"`,
    'protoPayload.methodName="google.cloud.deploy.v1.CloudDeploy.ApproveRollout"',
    `protoPayload.resourceName="${rolloutName}"`,
    `timestamp>="${since}"`
  ].join(" AND "),
  orderBy: "timestamp desc",
  pageSize: 10
})

/** More than a rollout can have: phases, jobs, and the tries of each. */
const PAGES = 10

export const learn = (place: Place): Effect.Effect<Known> =>
  Effect.gen(function* () {
    const given = ask(Token, `${place.metadata}/computeMetadata/v1/instance/service-accounts/default/token`, {
      headers: { "metadata-flavor": "Google" }
    })
    const token = yield* Effect.either(
      place.token === undefined ? given : Effect.succeed({ access_token: place.token })
    )
    if (Either.isLeft(token)) {
      return {
        images: [],
        approval: null,
        jobs: null,
        unknown: [`images, approval and jobs: no token from the metadata server: ${token.left}`]
      }
    }
    const headers = { authorization: `Bearer ${token.right.access_token}` }
    const releaseName = `projects/${place.project}/locations/${place.location}/deliveryPipelines/${place.pipeline}/releases/${place.release}`
    const rolloutName = `${releaseName}/rollouts/${place.rollout}`
    const get = <A, I>(schema: Schema.Schema<A, I>, path: string) =>
      ask(schema, `${place.api.replace(/\/+$/, "")}/v1/${path}`, { headers })
    const release = yield* Effect.either(get(Release, releaseName))
    const rollout = yield* Effect.either(get(Rollout, rolloutName))
    const runs = yield* Effect.gen(function* () {
      const all: Array<(typeof JobRuns.Type)["jobRuns"][number]> = []
      let page = ""
      for (let n = 0; n < PAGES; n++) {
        const answer = yield* get(
          JobRuns,
          `${rolloutName}/jobRuns${page === "" ? "" : `?pageToken=${encodeURIComponent(page)}`}`
        )
        all.push(...answer.jobRuns)
        page = answer.nextPageToken ?? ""
        if (page === "") break
      }
      return all
    }).pipe(Effect.either)
    const needed = Either.isRight(rollout) && rollout.right.approvalState === "APPROVED"
    const log = !needed
      ? undefined
      : place.logging === undefined
        ? Either.left("CLOUD_LOGGING_API_URL is not set")
        : yield* ask(Entries, `${place.logging.replace(/\/+$/, "")}/v2/entries:list`, {
            method: "POST",
            headers: { ...headers, "content-type": "application/json" },
            body: JSON.stringify(approvals(rolloutName, place.project, rollout.right.createTime))
          }).pipe(Effect.either)
    const by =
      log !== undefined && Either.isRight(log)
        ? log.right.entries.find(({ protoPayload }) => protoPayload.request?.approved !== false)?.protoPayload
            .authenticationInfo?.principalEmail
        : undefined
    return {
      images: Either.isRight(release)
        ? release.right.buildArtifacts.map(({ image, tag }) => ({ name: image, tag }))
        : [],
      approval: Either.isRight(rollout)
        ? { state: rollout.right.approvalState, at: rollout.right.approveTime ?? null, by: by ?? null }
        : null,
      jobs: Either.isRight(runs)
        ? runs.right
            .flatMap(({ phaseId, jobId, state, startTime, endTime }) =>
              startTime === undefined
                ? []
                : [{ phase: phaseId, job: jobId, state, startedAt: startTime, endedAt: endTime ?? null }]
            )
            .sort((a, b) => a.startedAt.localeCompare(b.startedAt))
        : null,
      unknown: [
        ...(Either.isLeft(release) ? [`images: ${release.left}`] : []),
        ...(Either.isLeft(rollout) ? [`approval: ${rollout.left}`] : []),
        ...(Either.isLeft(runs) ? [`jobs: ${runs.left}`] : []),
        ...(log !== undefined && Either.isLeft(log) ? [`who approved: ${log.left}`] : []),
        ...(log !== undefined && Either.isRight(log) && by === undefined
          ? ["who approved: the audit log has no entry yet"]
          : [])
      ]
    }
  })
