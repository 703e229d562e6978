/**
 * The little of Kubernetes' API that a drill needs, as a pod reaches it: with its service account's token.
 *
 * On a cluster the pod's environment names the API server, and `NODE_EXTRA_CA_CERTS` its certificate. The process driver serves the
 * same paths at `KUBERNETES_API_URL`.
 */
import { readFile } from "node:fs/promises"
import { Data, Effect, Schema } from "effect"

export class KubernetesFailed extends Data.TaggedError("KubernetesFailed")<{ readonly message: string }> {}

const Pod = Schema.Struct({
  metadata: Schema.Struct({ name: Schema.String, uid: Schema.String }),
  status: Schema.Struct({
    phase: Schema.optional(Schema.String),
    startTime: Schema.optional(Schema.String),
    containerStatuses: Schema.optional(Schema.Array(Schema.Struct({ restartCount: Schema.Number })))
  })
})
const PodList = Schema.Struct({ items: Schema.Array(Pod) })

export interface PodInstance {
  readonly name: string
  /** Differs when the pod was replaced, or a container of it was started again. */
  readonly instance: string
}

export interface KubernetesApi {
  readonly pods: Effect.Effect<ReadonlyArray<PodInstance>, KubernetesFailed>
  readonly deletePod: (name: string, gracePeriodSeconds: number) => Effect.Effect<void, KubernetesFailed>
}

const TOKEN_FILE = "/var/run/secrets/kubernetes.io/serviceaccount/token"

export interface Options {
  readonly url: string
  readonly namespace: string
  /** Read again for every request: the kubelet rotates it. */
  readonly token: Effect.Effect<string | undefined>
}

/** From the environment of a pod, `undefined` outside of one. */
export const optionsFromEnv = (env: NodeJS.ProcessEnv): Options | undefined => {
  const host = env["KUBERNETES_SERVICE_HOST"]
  const url =
    env["KUBERNETES_API_URL"] ??
    (host === undefined ? undefined : `https://${host}:${env["KUBERNETES_SERVICE_PORT"] ?? "443"}`)
  if (url === undefined) return undefined
  const file = env["KUBERNETES_TOKEN_FILE"] ?? TOKEN_FILE
  return {
    url,
    namespace: env["POD_NAMESPACE"] ?? "agents",
    token: Effect.promise(() =>
      readFile(file, "utf8").then(
        (text) => text.trim(),
        () => undefined
      )
    )
  }
}

export const make = (options: Options): KubernetesApi => {
  const request = (method: string, path: string) =>
    Effect.gen(function* () {
      const token = yield* options.token
      const { status, text } = yield* Effect.tryPromise({
        try: async (signal) => {
          const response = await fetch(`${options.url}/api/v1/namespaces/${options.namespace}/${path}`, {
            method,
            headers: token === undefined ? {} : { authorization: `Bearer ${token}` },
            signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)])
          })
          return { status: response.status, text: await response.text() }
        },
        catch: (cause) =>
          new KubernetesFailed({ message: `The Kubernetes API at ${options.url} did not answer: ${String(cause)}` })
      })
      if (status >= 300) {
        return yield* new KubernetesFailed({
          message:
            `${method} ${path} answered ${status}: ${text.slice(0, 300)}` +
            (status === 403
              ? " The pod's service account needs a Role with list and delete on pods (k8s/platform/rights.yaml)."
              : "")
        })
      }
      return text
    })
  return {
    pods: request("GET", "pods").pipe(
      Effect.flatMap((text) =>
        Schema.decodeUnknown(Schema.parseJson(PodList))(text).pipe(
          Effect.mapError(
            (error) => new KubernetesFailed({ message: `The list of pods can't be read: ${error.message}` })
          )
        )
      ),
      Effect.map((list) =>
        list.items.map((pod) => ({
          name: pod.metadata.name,
          instance: `${pod.metadata.uid}/${(pod.status.containerStatuses ?? []).map((container) => container.restartCount).join(",")}`
        }))
      )
    ),
    deletePod: (name, gracePeriodSeconds) =>
      request("DELETE", `pods/${name}?gracePeriodSeconds=${gracePeriodSeconds}`).pipe(Effect.asVoid)
  }
}
