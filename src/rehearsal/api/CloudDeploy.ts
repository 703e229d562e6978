/** Cloud Deploy's REST API v1, as `gcloud deploy` uses it: a request in, Google's JSON out. Knows nothing of HTTP. */
import { Effect, Either } from "effect"
import { user } from "../engine/Caller.ts"
import { fail, type GoogleError, notFound } from "../engine/GoogleError.ts"
import * as Policies from "../engine/Policies.ts"
import {
  type Automation,
  type DeployPolicy,
  lastOf,
  locationOf,
  type Pipeline,
  pipelineOf,
  type Release,
  type Resource,
  type Rollout,
  type Target
} from "../engine/Resources.ts"
import { isOver } from "../engine/RolloutPlan.ts"
import { Rollouts } from "../engine/Rollouts.ts"
import type { Sources } from "../engine/Source.ts"
import { Store } from "../engine/Store.ts"
import * as TimedPromotion from "../engine/TimedPromotion.ts"
import { mismatches, withoutNulls } from "../schema/GoogleSchema.ts"
import { masked, parseMask } from "./FieldMask.ts"
import { parseFilter, sorted } from "./Filter.ts"
import type { Objects } from "./Objects.ts"

export interface ApiRequest {
  readonly method: string
  /** Decoded, without `v1/`: `projects/p/locations/l/targets/dev`. */
  readonly name: string
  readonly query: Readonly<Record<string, string>>
  readonly body: unknown
  /** Who asks, for the audit log. */
  readonly principal?: string | undefined
}

/** The collections that can be written: the query parameter with the new id, and the type of the body. */
const WRITABLE: Readonly<Record<string, { readonly id: string; readonly type: string; readonly parents: number }>> = {
  deliveryPipelines: { id: "deliveryPipelineId", type: "DeliveryPipeline", parents: 4 },
  targets: { id: "targetId", type: "Target", parents: 4 },
  customTargetTypes: { id: "customTargetTypeId", type: "CustomTargetType", parents: 4 },
  deployPolicies: { id: "deployPolicyId", type: "DeployPolicy", parents: 4 },
  automations: { id: "automationId", type: "Automation", parents: 6 },
  releases: { id: "releaseId", type: "Release", parents: 6 },
  rollouts: { id: "rolloutId", type: "Rollout", parents: 8 }
}
const READ_ONLY: Readonly<Record<string, number>> = { jobRuns: 10, automationRuns: 6 }
/** What a name goes through on its way down: a target has no releases. */
const ANCESTORS = ["projects", "locations", "deliveryPipelines", "releases", "rollouts"]
const PAGE_LIMIT = 1000
const DEFAULT_PAGE = 50
const ID = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/
const SEGMENT = /^[A-Za-z0-9][A-Za-z0-9._~-]{0,254}$|^-$/

type Body = Readonly<Record<string, unknown>>

const typed = (type: string, given: unknown): Effect.Effect<Body, GoogleError> => {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    return fail("INVALID_ARGUMENT", `The body must be a JSON object of type ${type}.`)
  }
  const [first, ...rest] = mismatches("clouddeploy", type, given)
  if (first === undefined) {
    const body = withoutNulls(given)
    const refused =
      type === "Automation"
        ? TimedPromotion.invalid((body as Partial<Automation>).rules)
        : type === "DeployPolicy"
          ? Policies.invalid((body as Partial<DeployPolicy>).rules)
          : undefined
    return refused === undefined
      ? Effect.succeed(body as Body)
      : fail("INVALID_ARGUMENT", `Invalid ${type}: ${refused}`)
  }
  const more = rest.length === 0 ? "" : ` (and ${rest.length} more)`
  return fail("INVALID_ARGUMENT", `Invalid ${type}: ${first.path.join(".") || "body"}: ${first.message}${more}`)
}

const newId = (parameter: string, id: string): Effect.Effect<string, GoogleError> =>
  ID.test(id)
    ? Effect.succeed(id)
    : fail(
        "INVALID_ARGUMENT",
        `${parameter} must be 1 to 63 lower case letters, digits and dashes and begin with a letter, not "${id.slice(0, 80)}".`
      )

const truthy = (text: string | undefined) => text?.toLowerCase() === "true"

/** What the caller may not set, or what identifies the resource. */
const OUTPUT_ONLY = ["uid", "createTime", "updateTime", "etag", "name"]

export const make = (parts: { readonly objects: Objects; readonly sources: Sources }) =>
  Effect.gen(function* () {
    const store = yield* Store
    const rollouts = yield* Rollouts
    const { objects, sources } = parts

    const operation = (target: string, type: string, verb: string, response: unknown) =>
      Effect.gen(function* () {
        const name = `${locationOf(target)}/operations/operation-${crypto.randomUUID()}`
        const at = new Date().toISOString()
        const body = {
          name,
          metadata: {
            "@type": "type.googleapis.com/google.cloud.deploy.v1.OperationMetadata",
            createTime: at,
            endTime: at,
            target,
            verb,
            requestedCancellation: false,
            apiVersion: "v1"
          },
          done: true,
          response: { "@type": `type.googleapis.com/${type}`, ...(response as object) }
        }
        yield* Effect.orDie(
          store.sql`insert into operations (name, body) values (${name}, ${JSON.stringify(body)}::jsonb)`
        )
        return body
      })

    const ours = (type: string) => `google.cloud.deploy.v1.${type}`
    const EMPTY = "google.protobuf.Empty"

    const sameEtag = (given: unknown, found: Resource | undefined) =>
      typeof given === "string" && given !== "" && found !== undefined && given !== found.etag
        ? fail("ABORTED", `The etag of "${found.name}" has changed since it was read. Read it again.`)
        : Effect.void

    const release = (name: string, body: Body, validateOnly: boolean) =>
      Effect.gen(function* () {
        const pipeline = yield* store.get<Pipeline>(pipelineOf(name))
        if (pipeline.suspended === true) {
          return yield* fail("FAILED_PRECONDITION", `Delivery pipeline "${lastOf(pipeline.name)}" is suspended.`)
        }
        const stages = pipeline.serialPipeline?.stages ?? []
        const snapshots = yield* Effect.forEach(stages, ({ targetId }) =>
          store.get<Target>(`${locationOf(name)}/targets/${targetId}`)
        )
        const archive = yield* objects.ofUri(String(body["skaffoldConfigUri"] ?? ""))
        const made: Release = {
          ...body,
          name,
          deliveryPipelineSnapshot: pipeline,
          targetSnapshots: snapshots,
          renderState: "IN_PROGRESS",
          renderStartTime: new Date().toISOString()
        }
        if (validateOnly) return made
        const rendered = yield* sources
          .unpack(name, archive.file)
          .pipe(Effect.zipRight(sources.render(made, stages)), Effect.either)
        const state = Either.isRight(rendered) ? "SUCCEEDED" : "FAILED"
        const failure = Either.isLeft(rendered) ? { failureMessage: rendered.left.message } : {}
        return {
          ...made,
          renderState: state,
          renderEndTime: new Date().toISOString(),
          targetRenders: Object.fromEntries(
            stages.map(({ targetId }) => [targetId, { renderingState: state, ...failure }])
          ),
          condition: {
            releaseReadyCondition: { status: state === "SUCCEEDED" },
            skaffoldSupportedCondition: { status: true, skaffoldSupportState: "SKAFFOLD_SUPPORT_STATE_SUPPORTED" }
          }
        } satisfies Release
      })

    const create = (collection: string, request: ApiRequest) =>
      Effect.gen(function* () {
        const { id: parameter, type } = WRITABLE[collection]!
        const body = yield* typed(type, request.body)
        const id = yield* newId(parameter, request.query[parameter] ?? lastOf(String(body["name"] ?? "")))
        const name = `${request.name}/${collection}/${id}`
        const validateOnly = truthy(request.query["validateOnly"])
        if (collection === "rollouts") {
          const made = yield* rollouts.create(
            {
              release: request.name,
              rolloutId: id,
              targetId: String(body["targetId"] ?? ""),
              startingPhaseId: request.query["startingPhaseId"],
              description: body["description"] as string | undefined,
              labels: body["labels"] as Record<string, string> | undefined,
              annotations: body["annotations"] as Record<string, string> | undefined,
              rollbackOfRollout: body["rollbackOfRollout"] as string | undefined,
              validateOnly
            },
            user(overrides(request.query["overrideDeployPolicy"]?.split(",")), request.principal)
          )
          return yield* operation(name, ours(type), "create", made)
        }
        if ((yield* store.find(name)) !== undefined)
          return yield* fail("ALREADY_EXISTS", `Resource "${name}" is there already.`)
        const made = collection === "releases" ? yield* release(name, body, validateOnly) : { ...body, name }
        const kept = validateOnly
          ? made
          : yield* store.transaction(
              Effect.gen(function* () {
                if (request.name.split("/").length > 4) yield* store.get(pipelineOf(name))
                if ((yield* store.find(name)) !== undefined) {
                  return yield* fail("ALREADY_EXISTS", `Resource "${name}" is there already.`)
                }
                return yield* store.put(made as Resource)
              })
            )
        return yield* operation(name, ours(type), "create", kept)
      })

    const list = (collection: string, request: ApiRequest) =>
      Effect.gen(function* () {
        const test = yield* Either.mapLeft(parseFilter(request.query["filter"] ?? ""), (message) =>
          fail("INVALID_ARGUMENT", message)
        )
        const size = Number(request.query["pageSize"] ?? DEFAULT_PAGE)
        const token = request.query["pageToken"]
        const given = Buffer.from(token ?? "", "base64url").toString()
        const from = token === undefined || token === "" ? 0 : /^\d{1,9}$/.test(given) ? Number(given) : Number.NaN
        if (!Number.isInteger(size) || size < 0 || !Number.isInteger(from) || from < 0) {
          return yield* fail(
            "INVALID_ARGUMENT",
            "pageSize must be a whole number, and pageToken one that this server gave."
          )
        }
        if (!request.name.includes("/-")) {
          if (request.name.split("/").length > 4) yield* store.get(request.name)
        }
        const all = (yield* store.list(collection, request.name)).filter(test)
        const ordered = sorted(all, request.query["orderBy"] ?? "")
        const end = from + Math.min(size === 0 ? DEFAULT_PAGE : size, PAGE_LIMIT)
        return {
          [collection]: ordered.slice(from, end),
          ...(end < ordered.length ? { nextPageToken: Buffer.from(String(end)).toString("base64url") } : {})
        }
      })

    const patch = (collection: string, request: ApiRequest) =>
      Effect.gen(function* () {
        const { type } = WRITABLE[collection]!
        if (collection === "releases" || collection === "rollouts") {
          return yield* fail("NOT_FOUND", `There is no such method: a ${type} can't be changed once it is made.`)
        }
        if (!ID.test(lastOf(request.name)))
          return yield* fail("INVALID_ARGUMENT", `"${lastOf(request.name)}" is no id.`)
        const body = yield* typed(type, request.body)
        const paths = yield* Either.mapLeft(parseMask(type, request.query["updateMask"] ?? ""), (message) =>
          fail("INVALID_ARGUMENT", message)
        )
        const change = Effect.gen(function* () {
          const found = (yield* store.find(request.name))?.resource
          if (found === undefined && !truthy(request.query["allowMissing"])) return yield* notFound(request.name)
          if (collection === "automations") yield* store.get(pipelineOf(request.name))
          yield* sameEtag(body["etag"], found)
          const settable = Object.fromEntries(Object.entries(body).filter(([key]) => !OUTPUT_ONLY.includes(key)))
          // What is only put out stays as it is, though the mask names it.
          const asked = paths?.filter(([field]) => !OUTPUT_ONLY.includes(field ?? ""))
          const next = asked === undefined || found === undefined ? settable : masked(found, settable, asked)
          const made: Resource = { ...next, name: request.name }
          return truthy(request.query["validateOnly"]) ? made : yield* store.put(made)
        })
        const kept = yield* store.transaction(change)
        return yield* operation(request.name, ours(type), "update", kept)
      })

    const remove = (collection: string, request: ApiRequest) =>
      Effect.gen(function* () {
        yield* store.transaction(
          Effect.gen(function* () {
            const found = (yield* store.find(request.name))?.resource
            if (found === undefined) {
              return truthy(request.query["allowMissing"]) ? undefined : yield* notFound(request.name)
            }
            yield* sameEtag(request.query["etag"], found)
            if (collection === "deliveryPipelines") {
              const below = yield* store.list("releases", request.name)
              if (below.length > 0 && !truthy(request.query["force"])) {
                return yield* fail(
                  "FAILED_PRECONDITION",
                  `"${lastOf(request.name)}" has ${below.length} releases. Pass force to delete them too.`
                )
              }
              const going = (yield* store.list<Rollout>("rollouts", `${request.name}/releases/-`)).filter(
                (rollout) => rollout.state === "IN_PROGRESS"
              )
              if (going.length > 0) {
                return yield* fail(
                  "FAILED_PRECONDITION",
                  `Rollout "${lastOf(going[0]!.name)}" is in progress. Cancel it first.`
                )
              }
            }
            if (!truthy(request.query["validateOnly"])) yield* store.remove(request.name)
          })
        )
        return yield* operation(request.name, EMPTY, "delete", {})
      })

    const overrides = (given: unknown): ReadonlyArray<string> =>
      Array.isArray(given) ? given.map((name) => lastOf(String(name))) : []

    const text = (body: Body, field: string): Effect.Effect<string, GoogleError> =>
      typeof body[field] === "string" && body[field] !== ""
        ? Effect.succeed(body[field])
        : fail("INVALID_ARGUMENT", `The field "${field}" is needed.`)

    const act = (name: string, verb: string, request: ApiRequest): Effect.Effect<unknown, GoogleError> =>
      Effect.gen(function* () {
        const collection = lastOf(name.slice(0, name.lastIndexOf("/")))
        const as = (type: string) => typed(type, request.body ?? {})
        const caller = (body: Body) => user(overrides(body["overrideDeployPolicy"]), request.principal)
        switch (`${collection}:${verb}`) {
          case "rollouts:approve": {
            const body = yield* as("ApproveRolloutRequest")
            yield* rollouts.approve(name, body["approved"] === true, caller(body))
            return {}
          }
          case "rollouts:advance": {
            const body = yield* as("AdvanceRolloutRequest")
            yield* rollouts.advance(name, yield* text(body, "phaseId"), caller(body))
            return {}
          }
          case "rollouts:cancel": {
            yield* rollouts.cancel(name, caller(yield* as("CancelRolloutRequest")))
            return {}
          }
          case "rollouts:retryJob": {
            const body = yield* as("RetryJobRequest")
            yield* rollouts.retryJob(name, yield* text(body, "phaseId"), yield* text(body, "jobId"), caller(body))
            return {}
          }
          case "rollouts:ignoreJob": {
            const body = yield* as("IgnoreJobRequest")
            yield* rollouts.ignoreJob(name, yield* text(body, "phaseId"), yield* text(body, "jobId"), caller(body))
            return {}
          }
          case "jobRuns:terminate": {
            yield* rollouts.terminate(name, caller(yield* as("TerminateJobRunRequest")))
            return {}
          }
          case "releases:abandon": {
            yield* as("AbandonReleaseRequest")
            yield* store.transaction(
              Effect.gen(function* () {
                const found = yield* store.get<Release>(name)
                const going = (yield* store.list<Rollout>("rollouts", name)).find(
                  (rollout) => !isOver(rollout) && rollout.state !== "FAILED"
                )
                if (going !== undefined) {
                  return yield* fail(
                    "FAILED_PRECONDITION",
                    `Rollout "${lastOf(going.name)}" of this release is ${going.state}.`
                  )
                }
                yield* store.put<Release>({ ...found, abandoned: true, abandonTime: new Date().toISOString() })
              })
            )
            return {}
          }
          case "deliveryPipelines:rollbackTarget": {
            const body = yield* as("RollbackTargetRequest")
            const config = (body["rollbackConfig"] ?? {}) as Body
            const description = ((config["rollout"] ?? {}) as Body)["description"]
            const made = yield* rollouts.rollback(
              name,
              yield* text(body, "targetId"),
              {
                rolloutId: yield* newId("rolloutId", yield* text(body, "rolloutId")),
                releaseId:
                  typeof body["releaseId"] === "string" && body["releaseId"] !== "" ? body["releaseId"] : undefined,
                startingPhaseId: config["startingPhaseId"] as string | undefined,
                description: typeof description === "string" && description !== "" ? description : undefined,
                validateOnly: body["validateOnly"] === true
              },
              caller(body)
            )
            return { rollbackConfig: { rollout: made, startingPhaseId: config["startingPhaseId"] ?? "stable" } }
          }
          default:
            return yield* fail("NOT_FOUND", `There is no method "${verb}" on ${collection}.`)
        }
      })

    return (request: ApiRequest): Effect.Effect<unknown, GoogleError> =>
      Effect.gen(function* () {
        const { method } = request
        const [, name = "", verb] = /^(.*?)(?::([A-Za-z]+))?$/.exec(request.name) ?? []
        const segments = name.split("/")
        if (segments[0] !== "projects" || !segments.every((segment) => SEGMENT.test(segment))) {
          return yield* fail(
            "NOT_FOUND",
            "There is no such method. Names begin with projects/PROJECT/locations/LOCATION."
          )
        }
        if (method !== "GET" && segments.includes("-")) {
          return yield* fail(
            "INVALID_ARGUMENT",
            'A change is of one resource: "-" stands for any only where they are listed.'
          )
        }
        if (segments.length === 5 && segments[4] === "config" && method === "GET") {
          const version = {
            version: "2.16",
            supportEndTime: "2099-01-01T00:00:00Z",
            maintenanceModeTime: "2099-01-01T00:00:00Z"
          }
          return { name, supportedVersions: [version], defaultSkaffoldVersion: version.version }
        }
        if (segments[4] === "operations" && segments.length === 6 && method === "GET") {
          const [row] = yield* Effect.orDie(
            store.sql<{ body: unknown }>`select body from operations where name = ${name}`
          )
          return row === undefined ? yield* notFound(name) : row.body
        }
        // An even number of segments names a resource, an odd one a collection.
        const isCollection = segments.length % 2 === 1
        const collection = isCollection ? segments.at(-1)! : segments.at(-2)!
        const parents = (isCollection ? segments.length : segments.length - 1) - 1
        const writable = Object.hasOwn(WRITABLE, collection)
        const wanted = writable
          ? WRITABLE[collection]!.parents
          : Object.hasOwn(READ_ONLY, collection)
            ? READ_ONLY[collection]
            : undefined
        const straight = segments.every((segment, at) => at % 2 === 1 || at >= parents || segment === ANCESTORS[at / 2])
        if (wanted !== parents || !straight) {
          return yield* fail("NOT_FOUND", `There is no collection "${segments.slice(4).join("/")}".`)
        }
        if (verb !== undefined) {
          return method === "POST" ? yield* act(name, verb, request) : yield* fail("NOT_FOUND", `${verb} is a POST.`)
        }
        if (isCollection && method === "GET")
          return yield* list(collection, { ...request, name: segments.slice(0, -1).join("/") })
        if (isCollection && method === "POST" && writable) {
          return yield* create(collection, { ...request, name: segments.slice(0, -1).join("/") })
        }
        if (!isCollection && method === "GET") return yield* store.get(name)
        if (!isCollection && method === "PATCH" && writable) return yield* patch(collection, { ...request, name })
        if (!isCollection && method === "DELETE" && writable && !["releases", "rollouts"].includes(collection)) {
          return yield* remove(collection, { ...request, name })
        }
        return yield* fail(
          "NOT_FOUND",
          `${method} does nothing on ${isCollection ? "the collection" : "a resource of"} ${collection}.`
        )
      })
  })
