/** One target as a namespace of a real cluster. */
import { Effect, Either, Schedule, Scope } from "effect"
import {
  type Cluster,
  DriverFailed,
  type KubeObject,
  ManifestRefused,
  NotFound,
  type PodStatus,
  type Pruned,
  RolloutFailed
} from "../Driver.ts"
import { type Found, ownerOf, PRUNABLE, planPrune, selectorOf } from "../Prune.ts"
import { type Api, type ApiError, pathOf, type Resource } from "./Api.ts"
import * as ClusterWide from "./ClusterWide.ts"
import { explain } from "./Explain.ts"
import * as Forward from "./Forward.ts"
import * as Hook from "./Hook.ts"
import { itemsOf, type Json, type Pod, type ReplicaSet, type StatefulSet } from "./Json.ts"
import { place, refusal } from "./Placement.ts"
import { describe, isReady, judge, type View } from "./RolloutView.ts"

/** Whose fields they are, in every object's managedFields. */
export const FIELD_MANAGER = "deliver"

export interface KubernetesCluster extends Cluster {
  readonly namespace: string
  /** Logs of all hooks, `<job>.log`, kept after the Jobs are gone. */
  readonly logFolder: string
}

export interface ClusterInput {
  readonly target: string
  readonly api: Api
  /** In the manifests. */
  readonly from: string
  /** In the cluster. */
  readonly namespace: string
  readonly logFolder: string
}

const LOOK = "500 millis"
const LOG_LINES = 40
/** A pod that its PodDisruptionBudget protects is asked for again; a release's graceful stop takes up to a minute. */
const EVICT_AGAIN = Schedule.spaced("1 second").pipe(Schedule.upTo("5 minutes"))

const nameOf = (object: KubeObject) => `${object.kind}/${object.metadata.name}`

const statusOf = (pod: Pod, replicaSets: ReadonlyArray<ReplicaSet>): PodStatus => {
  const owner = pod.metadata.ownerReferences?.[0]
  const hook = pod.metadata.labels?.[Hook.HOOK_LABEL]
  const deployment =
    owner?.kind === "ReplicaSet"
      ? replicaSets.find(({ metadata }) => metadata.uid === owner.uid)?.metadata.ownerReferences?.[0]
      : undefined
  const phase = pod.status?.phase ?? "Pending"
  return {
    name: pod.metadata.name,
    owner:
      hook !== undefined
        ? `Job/${hook}`
        : deployment !== undefined
          ? `${deployment.kind}/${deployment.name}`
          : owner === undefined
            ? ""
            : `${owner.kind}/${owner.name}`,
    address: pod.status?.podIP ?? "",
    phase: phase === "Unknown" ? "Failed" : phase,
    ready: isReady(pod),
    terminating: pod.metadata.deletionTimestamp !== undefined,
    restarts: (pod.status?.containerStatuses ?? []).reduce((sum, { restartCount }) => sum + restartCount, 0),
    images: pod.spec.containers.map(({ image }) => image),
    revision: pod.metadata.labels?.["controller-revision-hash"] ?? pod.metadata.labels?.["pod-template-hash"] ?? "",
    startedAt: new Date(pod.status?.startTime ?? pod.metadata.creationTimestamp ?? 0),
    ...(pod.spec.nodeName === undefined ? {} : { node: pod.spec.nodeName })
  }
}

export const make = (input: ClusterInput): Effect.Effect<KubernetesCluster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const { api, from, namespace, target, logFolder } = input
    const scope = yield* Effect.scope
    const pods = `/api/v1/namespaces/${namespace}/pods`
    const apps = `/apis/apps/v1/namespaces/${namespace}`
    const broken = (what: string) => (error: ApiError) =>
      new DriverFailed({
        message: `${what} in namespace "${namespace}" of context "${api.context}" failed: ${error.message}`
      })

    const resourceOf = (object: KubeObject): Effect.Effect<Resource, ManifestRefused | DriverFailed> =>
      api.resource(object.apiVersion, object.kind).pipe(
        Effect.mapError((error) => explain(object, error, api.context)),
        Effect.flatMap((resource) =>
          resource === undefined
            ? new ManifestRefused({
                object: nameOf(object),
                field: "apiVersion",
                message: `${nameOf(object)}: the cluster knows no ${object.kind} of ${object.apiVersion}. Install what defines it first, or correct the apiVersion.`
              })
            : Effect.succeed(resource)
        )
      )

    const clusterWide = yield* ClusterWide.make(api)
    const patch = (object: KubeObject, dryRun: boolean) =>
      Effect.gen(function* () {
        const resource = yield* resourceOf(object)
        const applied = api
          .call(pathOf(resource, namespace, object.metadata.name), {
            method: "PATCH",
            contentType: "application/apply-patch+yaml",
            query: {
              fieldManager: FIELD_MANAGER,
              fieldValidation: "Strict",
              ...(dryRun ? { dryRun: "All" } : {})
            },
            body: { ...object, metadata: { ...object.metadata, ...(resource.namespaced ? { namespace } : {}) } }
          })
          .pipe(
            Effect.asVoid,
            Effect.mapError((error) => explain(object, error, api.context))
          )
        yield* dryRun || resource.namespaced || object.kind === "Namespace"
          ? applied
          : clusterWide
              .making(object, resource, applied)
              .pipe(Effect.catchTag("ApiError", broken(`Looking for ${nameOf(object)}`)))
      })

    const placed = (objects: ReadonlyArray<KubeObject>) => objects.map((object) => place(object, from, namespace))

    /** Every object is tried before the first is changed. */
    const dryRun = (objects: ReadonlyArray<KubeObject>) =>
      Effect.gen(function* () {
        for (const object of objects) {
          const refused = refusal(object)
          if (refused !== undefined) return yield* refused
        }
        yield* Effect.forEach(objects, (object) => patch(object, true), { concurrency: 4, discard: true })
      })

    const view: Effect.Effect<View, ApiError> = Effect.all(
      {
        statefulSets: Effect.map(api.call(`${apps}/statefulsets`), itemsOf),
        deployments: Effect.map(api.call(`${apps}/deployments`), itemsOf),
        replicaSets: Effect.map(api.call(`${apps}/replicasets`), itemsOf),
        pods: Effect.map(api.call(pods), itemsOf)
      },
      { concurrency: 4 }
    ) as Effect.Effect<View, ApiError>

    const logOf = (pod: string, previous: boolean): Effect.Effect<ReadonlyArray<string>> =>
      api.text(`${pods}/${pod}/log`, { tailLines: String(LOG_LINES), ...(previous ? { previous: "true" } : {}) }).pipe(
        Effect.map((text) => text.replace(/\n$/, "").split("\n")),
        Effect.orElseSucceed(() => [])
      )
    const lastLines = (pod: string) =>
      Effect.flatMap(logOf(pod, false), (lines) =>
        lines.some((line) => line !== "") ? Effect.succeed(lines) : logOf(pod, true)
      )

    const deletePod: Cluster["deletePod"] = (name, { gracePeriodSeconds }) =>
      api
        .call(`${pods}/${encodeURIComponent(name)}`, {
          method: "DELETE",
          ...(gracePeriodSeconds === undefined ? {} : { query: { gracePeriodSeconds: String(gracePeriodSeconds) } })
        })
        .pipe(
          Effect.asVoid,
          Effect.mapError(
            (error) =>
              new NotFound({
                object: `Pod/${name}`,
                message: `The pod "${name}" of target "${target}" could not be deleted: ${error.message}`
              })
          )
        )

    const awaitOne = (object: KubeObject, deadlineMs: number) =>
      Effect.gen(function* () {
        const failed = (message: string, log: ReadonlyArray<string>) =>
          new RolloutFailed({ object: nameOf(object), message, log })
        let last = "Nothing was seen of it."
        let unready: ReadonlyArray<Pod> = []
        const look = Effect.gen(function* () {
          const seen = yield* Effect.either(view)
          // An API server that restarts says nothing about the rollout; the deadline goes on.
          if (Either.isLeft(seen)) {
            last = `The cluster does not answer: ${seen.left.message}`
            return false
          }
          const verdict = judge(object, seen.right)
          if (verdict === undefined || verdict.status.done) return true
          last = verdict.status.message
          unready = verdict.unready
          // Kubernetes' "forced rollback": with OrderedReady the controller waits for a broken pod of the old revision for ever.
          yield* Effect.forEach(verdict.stuck, (name) => deletePod(name, {}).pipe(Effect.ignore), { discard: true })
          const { hopeless } = verdict
          if (hopeless === undefined) return false
          return yield* failed(hopeless.message, hopeless.pod === undefined ? [] : yield* lastLines(hopeless.pod))
        })
        return yield* look.pipe(
          Effect.repeat({ until: (done) => done, schedule: Schedule.spaced(LOOK) }),
          Effect.timeoutOption(deadlineMs),
          Effect.flatMap((ended) =>
            ended._tag === "Some"
              ? Effect.void
              : Effect.gen(function* () {
                  const log = unready[0] === undefined ? [] : yield* lastLines(unready[0].metadata.name)
                  return yield* failed(
                    `${nameOf(object)} has not rolled out within ${deadlineMs / 1000} s. ${last} Pods that are not ready: ${unready.map(describe).join("; ") || "none"}.`,
                    log
                  )
                })
          )
        )
      })

    const prune = (objects: ReadonlyArray<KubeObject>): Effect.Effect<Pruned, DriverFailed> =>
      Effect.gen(function* () {
        const owner = ownerOf(objects)
        if (owner === undefined) return { removed: [], kept: [] }
        const found = yield* Effect.forEach(PRUNABLE, ([apiVersion, kind]) =>
          Effect.gen(function* () {
            const resource = yield* api.resource(apiVersion, kind)
            if (resource === undefined) return []
            const list = yield* api.call(pathOf(resource, namespace), { query: { labelSelector: selectorOf(owner) } })
            return itemsOf<Found>(list).map((one) => ({ ...one, apiVersion, kind }))
          })
        )
        const sets = itemsOf<StatefulSet>(yield* api.call(`${apps}/statefulsets`))
        const revisions = new Set(sets.flatMap(({ status }) => [status?.currentRevision, status?.updateRevision]))
        const inUse = [
          ...itemsOf<Json>(yield* api.call(pods)),
          // Pods may be made of these two again, though none of them runs at this moment; older ones are history.
          ...itemsOf<{ readonly metadata: { readonly name: string } }>(
            yield* api.call(`${apps}/controllerrevisions`)
          ).filter(({ metadata }) => revisions.has(metadata.name)),
          ...itemsOf<{ readonly spec?: { readonly replicas?: number } }>(yield* api.call(`${apps}/replicasets`)).filter(
            ({ spec }) => (spec?.replicas ?? 0) > 0
          )
        ]
        const plan = planPrune({ wanted: placed(objects), found: found.flat(), manager: FIELD_MANAGER, inUse })
        for (const one of plan.remove) {
          const resource = (yield* api.resource(one.apiVersion, one.kind))!
          yield* api
            .call(pathOf(resource, namespace, one.metadata.name), {
              method: "DELETE",
              // Of exactly the object that was judged: one made anew under its name stays.
              body: { preconditions: { uid: one.metadata.uid }, propagationPolicy: "Background" }
            })
            .pipe(
              Effect.catchIf(
                (error) => error.status === 404 || error.status === 409,
                () => Effect.void
              )
            )
        }
        return {
          removed: plan.remove.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
          kept: plan.keep.map(({ object, reason }) => `${object}: ${reason}`)
        }
      }).pipe(Effect.mapError(broken("Pruning")))

    const cordon = (node: string, unschedulable: boolean) =>
      api
        .call(`/api/v1/nodes/${encodeURIComponent(node)}`, {
          method: "PATCH",
          contentType: "application/strategic-merge-patch+json",
          body: { spec: { unschedulable } }
        })
        .pipe(
          Effect.mapError(
            (error) =>
              new NotFound({
                object: `Node/${node}`,
                message: `The node "${node}" can't be cordoned: ${error.message}`
              })
          )
        )

    /** Through the eviction API, so that PodDisruptionBudgets hold, as `kubectl drain` does. This namespace's pods only. */
    const evict = (pod: Pod) =>
      api
        .call(`${pods}/${pod.metadata.name}/eviction`, {
          method: "POST",
          body: { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: pod.metadata.name, namespace } }
        })
        .pipe(
          Effect.retry({ schedule: EVICT_AGAIN, while: ({ status }) => status === 429 }),
          Effect.catchIf(
            ({ status }) => status === 404,
            () => Effect.void
          ),
          Effect.zipRight(
            api.call(`${pods}/${pod.metadata.name}`).pipe(
              Effect.map((now) => (now as unknown as Pod).metadata.uid !== pod.metadata.uid),
              Effect.catchIf(
                ({ status }) => status === 404,
                () => Effect.succeed(true)
              ),
              Effect.repeat({ until: (gone) => gone, schedule: EVICT_AGAIN })
            )
          )
        )

    return {
      target,
      namespace,
      logFolder,
      check: (objects) => dryRun(placed(objects).filter(({ kind }) => kind !== "Namespace")),
      apply: (objects) => {
        const all = placed(objects)
        const namespaces = all.filter(({ kind }) => kind === "Namespace")
        const rest = all.filter(({ kind }) => kind !== "Namespace")
        return dryRun(all).pipe(
          Effect.zipRight(Effect.forEach([...namespaces, ...rest], (object) => patch(object, false), { discard: true }))
        )
      },
      awaitRollout: (objects, { deadlineMs }) =>
        Effect.forEach(
          objects.filter(({ kind }) => kind === "StatefulSet" || kind === "Deployment"),
          (object) => awaitOne(object, deadlineMs),
          { concurrency: "unbounded", discard: true }
        ),
      // Hooks are told by this variable where the pods are that they may end; in the manifests it is the cloud's namespace.
      runJob: (job, options) =>
        Hook.run(
          place(job, from, namespace),
          { ...options, env: { POD_NAMESPACE: namespace, ...options.env } },
          { api, namespace, logFolder }
        ),
      pods: Effect.all([api.call(pods), api.call(`${apps}/replicasets`)]).pipe(
        Effect.map(([list, sets]) => itemsOf<Pod>(list).map((pod) => statusOf(pod, itemsOf(sets)))),
        Effect.mapError(broken("Listing pods")),
        Effect.orDie
      ),
      deletePod,
      serviceAddress: (service, port) =>
        Forward.open(api, namespace, service, port).pipe(
          Effect.catchTag("DriverFailed", ({ message }) => new NotFound({ object: `Service/${service}`, message })),
          Scope.extend(scope)
        ),
      prune,
      drainNode: (node) =>
        Effect.gen(function* () {
          yield* cordon(node, true)
          const there = itemsOf<Pod>(
            yield* api.call(pods, { query: { fieldSelector: `spec.nodeName=${node}` } })
          ).filter(({ status }) => status?.phase === "Running" || status?.phase === "Pending")
          yield* Effect.forEach(there, evict, { concurrency: "unbounded", discard: true })
        }).pipe(Effect.catchTag("ApiError", (error) => broken(`Draining ${node}`)(error))),
      uncordonNode: (node) => Effect.asVoid(cordon(node, false))
    } satisfies KubernetesCluster
  })
