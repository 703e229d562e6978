/**
 * The driver that hands pods to a real cluster: any kubectl context, kind or GKE.
 *
 * Each target is a namespace. One that this driver made is removed when its scope closes, with everything in it; one that was
 * there before stays as it is. Namespaces end beside each other, since the pods in each take their time; the driver's own scope
 * waits for all of them.
 */
import { join } from "node:path"
import { Effect, Schedule, type Scope } from "effect"
import { type Driver, DriverFailed } from "../Driver.ts"
import { type Api, ApiError, open as openApi } from "./Api.ts"
import * as Cluster from "./KubernetesCluster.ts"

export type { KubernetesCluster } from "./KubernetesCluster.ts"

export interface KubernetesDriverOptions {
  readonly context: string
  /** Logs of hooks. Below it a folder for each target. */
  readonly stateFolder: string
  /** The namespace in the manifests. Default `agents`. */
  readonly manifestNamespace?: string
  /** The namespace that stands for a target. */
  readonly namespace: (target: string) => string
  /** Whether closing the driver's scope waits until its namespaces are really gone. Default true. */
  readonly awaitRemoval?: boolean
}

export interface KubernetesDriver extends Driver {
  readonly name: "kubernetes"
  readonly api: Api
  readonly open: (target: string) => Effect.Effect<Cluster.KubernetesCluster, DriverFailed, Scope.Scope>
}

const GONE_TIMEOUT = "2 minutes"
const TARGET_LABEL = "deliver.rehearsal/target"

export const make = (options: KubernetesDriverOptions): Effect.Effect<KubernetesDriver, DriverFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const api = yield* openApi(options.context)
    const failed = (what: string) => (error: ApiError) =>
      new DriverFailed({ message: `${what} on context "${options.context}" failed: ${error.message}` })

    const going: Array<string> = []
    const staysBehind = (namespace: string) => (error: ApiError) =>
      Effect.logWarning(
        `the namespace ${namespace} stays behind: ${error.message}. kubectl delete namespace ${namespace}`
      )
    const remove = (namespace: string) =>
      api
        .call(`/api/v1/namespaces/${namespace}`, { method: "DELETE" })
        .pipe(Effect.zipRight(Effect.sync(() => going.push(namespace))), Effect.catchAll(staysBehind(namespace)))
    const gone = (namespace: string) =>
      api.call(`/api/v1/namespaces/${namespace}`).pipe(
        Effect.as(false),
        Effect.catchIf(
          ({ status }) => status === 404,
          () => Effect.succeed(true)
        ),
        Effect.repeat({ until: (answer) => answer, schedule: Schedule.spaced("500 millis") }),
        Effect.timeoutFail({
          duration: GONE_TIMEOUT,
          onTimeout: () =>
            new ApiError({ status: 0, reason: "Timeout", message: `it was not gone after ${GONE_TIMEOUT}`, causes: [] })
        }),
        Effect.catchAll(staysBehind(namespace))
      )
    if (options.awaitRemoval !== false) {
      yield* Effect.addFinalizer(() => Effect.forEach(going, gone, { concurrency: "unbounded", discard: true }))
    }

    const provide = (namespace: string, target: string) =>
      Effect.gen(function* () {
        const there = yield* api.call(`/api/v1/namespaces/${namespace}`).pipe(
          Effect.as(true),
          Effect.catchIf(
            ({ status }) => status === 404,
            () => Effect.succeed(false)
          )
        )
        if (there) return
        yield* Effect.acquireRelease(
          api.call("/api/v1/namespaces", {
            method: "POST",
            body: {
              apiVersion: "v1",
              kind: "Namespace",
              metadata: { name: namespace, labels: { [TARGET_LABEL]: target } }
            }
          }),
          () => remove(namespace)
        )
        // Pods are refused until their account is there, which a controller makes.
        yield* api
          .call(`/api/v1/namespaces/${namespace}/serviceaccounts/default`)
          .pipe(Effect.retry(Schedule.spaced("200 millis").pipe(Schedule.upTo("20 seconds"))))
      }).pipe(Effect.mapError(failed(`Making the namespace ${namespace}`)))

    return {
      name: "kubernetes",
      api,
      open: (target) =>
        Effect.gen(function* () {
          const namespace = options.namespace(target)
          yield* provide(namespace, target)
          return yield* Cluster.make({
            target,
            api,
            from: options.manifestNamespace ?? "agents",
            namespace,
            logFolder: join(options.stateFolder, target, "logs")
          })
        })
    }
  })
