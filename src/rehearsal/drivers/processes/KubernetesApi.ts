/**
 * The little of the Kubernetes API that pods of this project use: list, get and delete pods, with the token of their service
 * account and only if a Role allows it. Paths, bodies and error texts are the API server's.
 */
import { Effect, type Scope } from "effect"
import type { DriverFailed, NotFound } from "../Driver.ts"
import type { Answer } from "./LocalServer.ts"
import { serve } from "./LocalServer.ts"
import { matches, type PodRecord } from "./PodRecord.ts"
import { allowed, type Request } from "./Rbac.ts"
import type { Store } from "./Store.ts"
import { NODE_NAME } from "./Variables.ts"

export interface ApiHost {
  readonly namespace: string
  readonly store: Store
  readonly pods: () => ReadonlyArray<PodRecord>
  /** The service account that a token stands for. */
  readonly authenticate: (token: string) => string | undefined
  readonly deletePod: (name: string, options: { readonly gracePeriodSeconds?: number }) => Effect.Effect<void, NotFound>
}

const failure = (code: number, reason: string, message: string): Answer => ({
  status: code,
  body: { kind: "Status", apiVersion: "v1", metadata: {}, status: "Failure", message, reason, code }
})

const condition = (type: string, value: boolean) => ({ type, status: value ? "True" : "False" })

export const toKubernetes = (pod: PodRecord, namespace: string) => ({
  kind: "Pod",
  apiVersion: "v1",
  metadata: {
    name: pod.name,
    namespace,
    uid: pod.uid,
    labels: pod.labels,
    annotations: pod.annotations,
    creationTimestamp: pod.createdAt.toISOString(),
    ...(pod.terminating ? { deletionTimestamp: new Date().toISOString() } : {})
  },
  spec: {
    nodeName: NODE_NAME,
    serviceAccountName: pod.serviceAccount,
    containers: pod.containers
      .filter(({ kind }) => kind === "main")
      .map(({ spec }) => ({ name: spec.name, image: spec.image }))
  },
  status: {
    phase: pod.phase,
    podIP: pod.address,
    hostIP: pod.address,
    startTime: pod.createdAt.toISOString(),
    conditions: [condition("Initialized", pod.phase !== "Pending"), condition("Ready", pod.ready)],
    containerStatuses: pod.containers
      .filter(({ kind }) => kind === "main")
      .map(({ spec, ready, restarts }) => ({ name: spec.name, image: spec.image, ready, restartCount: restarts }))
  }
})

/** `a=b,c=d`; other forms of selectors are refused, never ignored. */
const parseSelector = (text: string | null): Readonly<Record<string, string>> | undefined => {
  const pairs = (text ?? "")
    .split(",")
    .filter((part) => part !== "")
    .map((part) => /^([^=!\s]+)==?([^=\s]*)$/.exec(part))
  return pairs.some((pair) => pair === null)
    ? undefined
    : Object.fromEntries(pairs.map((pair) => [pair?.[1] ?? "", pair?.[2] ?? ""]))
}

const graceOf = (url: URL): number | undefined => {
  const value = url.searchParams.get("gracePeriodSeconds")
  return value !== null && /^\d+$/.test(value) ? Number(value) : undefined
}

export const open = (address: string, host: ApiHost): Effect.Effect<string, DriverFailed, Scope.Scope> =>
  serve(address, async (request, url) => {
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? "")?.[1]
    const serviceAccount = token === undefined ? undefined : host.authenticate(token)
    if (serviceAccount === undefined) return failure(401, "Unauthorized", "Unauthorized")

    const path = /^\/api\/v1\/namespaces\/([^/]+)\/pods(?:\/([^/]+))?$/.exec(url.pathname)
    const [, namespace, name] = path ?? []
    const verb =
      request.method === "GET"
        ? name === undefined
          ? "list"
          : "get"
        : request.method === "DELETE" && name
          ? "delete"
          : undefined
    if (namespace === undefined || verb === undefined || url.searchParams.has("watch")) {
      return failure(
        404,
        "NotFound",
        `The process driver's API can list, get and delete pods, not ${request.method} ${request.url}`
      )
    }

    const wanted: Request = { serviceAccount, verb, ...(name === undefined ? {} : { name }) }
    const roles = host.store.list("Role").map(({ object }) => object)
    const bindings = host.store.list("RoleBinding").map(({ object }) => object)
    if (namespace !== host.namespace || !allowed(wanted, namespace, roles, bindings)) {
      const subject = name === undefined ? "pods" : `pods "${name}"`
      return failure(
        403,
        "Forbidden",
        `${subject} is forbidden: User "system:serviceaccount:${host.namespace}:${serviceAccount}" cannot ${verb} resource "pods" in API group "" in the namespace "${namespace}"`
      )
    }

    if (name === undefined) {
      const selector = parseSelector(url.searchParams.get("labelSelector"))
      if (selector === undefined)
        return failure(400, "BadRequest", "The process driver's API reads label selectors of the form key=value only")
      const items = host
        .pods()
        .filter((pod) => matches(selector, pod))
        .map((pod) => toKubernetes(pod, namespace))
      return { status: 200, body: { kind: "PodList", apiVersion: "v1", metadata: {}, items } }
    }
    const pod = host.pods().find((candidate) => candidate.name === name)
    if (pod === undefined) return failure(404, "NotFound", `pods "${name}" not found`)
    if (verb === "delete") {
      const gracePeriodSeconds = graceOf(url)
      await Effect.runPromise(
        Effect.ignore(host.deletePod(name, gracePeriodSeconds === undefined ? {} : { gracePeriodSeconds }))
      )
    }
    return { status: 200, body: toKubernetes(pod, namespace) }
  })
