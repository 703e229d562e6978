/**
 * A container's environment, as the kubelet makes it: `envFrom`, then `env` in order, with `$(VAR)` expanded from what
 * stands before. Pure: a missing ConfigMap or key is a message, and the kubelet would retry (CreateContainerConfigError).
 */
import { Either } from "effect"
import type { PodRecord } from "./PodRecord.ts"
import type { Container, EnvVar } from "./PodSpec.ts"
import type { Store } from "./Store.ts"

type Environment = Readonly<Record<string, string>>

/** `$(VAR)` becomes its value, `$$(VAR)` the text `$(VAR)`; an unknown name stays as it is. */
export const expand = (text: string, environment: Environment): string =>
  text.replace(/\$\$|\$\(([^)]+)\)/g, (match, name: string | undefined) =>
    name === undefined ? "$" : (environment[name] ?? match)
  )

export const fieldOf = (path: string, pod: PodRecord, namespace: string): string => {
  const keyed = /^metadata\.(labels|annotations)\['([^']+)'\]$/.exec(path)
  if (keyed) return pod[keyed[1] as "labels" | "annotations"][keyed[2] ?? ""] ?? ""
  switch (path) {
    case "metadata.name":
      return pod.name
    case "metadata.namespace":
      return namespace
    case "metadata.uid":
      return pod.uid
    case "spec.serviceAccountName":
      return pod.serviceAccount
    case "spec.nodeName":
      return NODE_NAME
    default:
      // status.podIP, status.podIPs and status.hostIP: the pod's address is all there is.
      return pod.address
  }
}
export const NODE_NAME = "this-machine"

const fromKey = (
  kind: "ConfigMap" | "Secret",
  ref: { readonly name: string; readonly key: string; readonly optional?: boolean | undefined },
  store: Store
): Either.Either<string | undefined, string> => {
  const content = store.content(kind, ref.name)
  const value = content?.get(ref.key)
  if (value !== undefined) return Either.right(value.toString())
  if (ref.optional) return Either.right(undefined)
  return Either.left(
    content === undefined ? `${kind} "${ref.name}" not found` : `${kind} "${ref.name}" has no key "${ref.key}"`
  )
}

const valueFor = (
  variable: EnvVar,
  environment: Environment,
  pod: PodRecord,
  namespace: string,
  store: Store
): Either.Either<string | undefined, string> => {
  const from = variable.valueFrom
  if (from?.fieldRef) return Either.right(fieldOf(from.fieldRef.fieldPath, pod, namespace))
  if (from?.configMapKeyRef) return fromKey("ConfigMap", from.configMapKeyRef, store)
  if (from?.secretKeyRef) return fromKey("Secret", from.secretKeyRef, store)
  return Either.right(expand(variable.value ?? "", environment))
}

export const environmentOf = (
  container: Container,
  pod: PodRecord,
  namespace: string,
  store: Store,
  extra: Environment
): Either.Either<Environment, string> =>
  Either.gen(function* () {
    const environment: Record<string, string> = { ...extra }
    for (const source of container.envFrom ?? []) {
      for (const [kind, ref] of [
        ["ConfigMap", source.configMapRef],
        ["Secret", source.secretRef]
      ] as const) {
        if (ref === undefined) continue
        const content = store.content(kind, ref.name)
        if (content === undefined && !ref.optional) return yield* Either.left(`${kind} "${ref.name}" not found`)
        for (const [key, value] of content ?? []) environment[`${source.prefix ?? ""}${key}`] = value.toString()
      }
    }
    for (const variable of container.env ?? []) {
      const value = yield* valueFor(variable, environment, pod, namespace, store)
      if (value !== undefined) environment[variable.name] = value
    }
    // What Cloud Deploy adds stands last in the container's list, so it wins.
    return { ...environment, ...extra }
  })
