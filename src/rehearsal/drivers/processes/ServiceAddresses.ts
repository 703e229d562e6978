/** The addresses of ClusterIP Services: a proxy for each port, kept in step with the Service as applied. */
import { Effect, ExecutionStrategy, Exit, Scope } from "effect"
import { DriverFailed, NotFound } from "../Driver.ts"
import type { Addresses } from "./Addresses.ts"
import type { Service } from "./Kinds.ts"
import type { PodRecord } from "./PodRecord.ts"
import { type Endpoint, open } from "./ServiceProxy.ts"

type ServicePort = NonNullable<Service["spec"]["ports"]>[number]

export interface ServiceAddresses {
  /** Opens what the Service needs and closes what it no longer has. Connections through other ports stay. */
  readonly open: (service: Service) => Effect.Effect<void, DriverFailed, Scope.Scope>
  readonly address: (
    service: Service | undefined,
    name: string,
    port: string | number
  ) => Effect.Effect<Endpoint, NotFound>
}

const targetOf = (port: ServicePort, pod: PodRecord): number | undefined => {
  const target = port.targetPort ?? port.port
  if (typeof target === "number") return target
  return pod.containers.flatMap(({ spec }) => spec.ports ?? []).find(({ name }) => name === target)?.containerPort
}

const endpointsOf = (port: ServicePort, pods: ReadonlyArray<PodRecord>): ReadonlyArray<Endpoint> =>
  pods.flatMap((pod) => {
    const target = targetOf(port, pod)
    return target === undefined ? [] : [{ host: pod.address, port: target }]
  })

export const make = (
  addresses: Addresses,
  readyPods: (service: Service) => ReadonlyArray<PodRecord>
): Effect.Effect<ServiceAddresses> =>
  Effect.sync(() => {
    const present = new Map<string, Service>()
    const proxies = new Map<string, Map<number, Scope.CloseableScope>>()

    const openPort = (name: string, host: string, number: number) =>
      Effect.gen(function* () {
        const parent = yield* Effect.scope
        const scope = yield* Scope.fork(parent, ExecutionStrategy.sequential)
        yield* Scope.extend(
          open({ host, port: number }, () => {
            const service = present.get(name)
            const port = service?.spec.ports?.find((candidate) => candidate.port === number)
            return service && port ? endpointsOf(port, readyPods(service)) : []
          }),
          scope
        )
        return scope
      })

    return {
      open: (service) =>
        Effect.gen(function* () {
          const name = service.metadata.name
          const known = proxies.get(name) ?? new Map<number, Scope.CloseableScope>()
          proxies.set(name, known)
          present.set(name, service)
          const headless = service.spec.clusterIP === "None"
          const wanted = new Set(headless ? [] : (service.spec.ports ?? []).map(({ port }) => port))
          for (const [port, scope] of known) {
            if (wanted.has(port)) continue
            known.delete(port)
            yield* Scope.close(scope, Exit.void)
          }
          const host = headless ? undefined : addresses.service(name)
          if (!headless && host === undefined) {
            return yield* new DriverFailed({
              message: `Service/${name}: this cluster's 50 Service addresses are all taken.`
            })
          }
          for (const port of wanted) {
            if (host !== undefined && !known.has(port)) known.set(port, yield* openPort(name, host, port))
          }
        }),
      address: (service, name, wanted) =>
        Effect.suspend(() => {
          const port = service?.spec.ports?.find(
            (candidate) => candidate.name === wanted || candidate.port === Number(wanted)
          )
          if (service === undefined || port === undefined) {
            const message =
              service === undefined
                ? `There is no Service "${name}" in this cluster. Apply it first.`
                : `The Service "${name}" has no port ${wanted}. It has: ${(service.spec.ports ?? []).map((each) => each.name ?? each.port).join(", ")}.`
            return new NotFound({ object: `Service/${name}`, message })
          }
          if (service.spec.clusterIP !== "None") {
            const host = addresses.service(name)
            if (host !== undefined) return Effect.succeed({ host, port: port.port })
          }
          // Headless: any ready pod, as a DNS answer would give.
          const [first] = endpointsOf(port, readyPods(service))
          return first === undefined
            ? new NotFound({
                object: `Service/${name}`,
                message: `The headless Service "${name}" has no ready pod now.`
              })
            : Effect.succeed(first)
        })
    }
  })
