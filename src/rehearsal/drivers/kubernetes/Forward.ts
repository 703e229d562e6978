/**
 * An address on this machine for a Service of the cluster.
 *
 * `kubectl port-forward service/…` picks one pod and dies with it. Here each ready pod has a forward of its own, and a proxy in
 * front gives every new connection to the next one, as the Service does: a client notices a rollout no more than inside.
 */
import { spawn } from "node:child_process"
import { Effect, Exit, Schedule, Scope } from "effect"
import { type DriverFailed, NotFound } from "../Driver.ts"
import { type Endpoint, open as openProxy } from "../processes/ServiceProxy.ts"
import type { Api } from "./Api.ts"
import { itemsOf, type Pod, type Service } from "./Json.ts"
import { isReady } from "./RolloutView.ts"

const LOOK = "500 millis"
const FIRST_TIMEOUT = "20 seconds"

interface Open {
  readonly scope: Scope.CloseableScope
  readonly endpoint: Endpoint
  alive: boolean
  ready: boolean
}

/** One pod's port on a free port of 127.0.0.1. */
const forward = (context: string, namespace: string, pod: string, port: number, ended: () => void) =>
  Effect.acquireRelease(
    Effect.async<{ readonly kill: () => void; readonly endpoint: Endpoint } | undefined>((resume) => {
      const child = spawn(
        "kubectl",
        ["--context", context, "-n", namespace, "port-forward", "--address", "127.0.0.1", `pod/${pod}`, `:${port}`],
        { detached: true, stdio: ["ignore", "pipe", "ignore"] }
      )
      child.stdout.on("data", (data: Buffer) => {
        const local = /127\.0\.0\.1:(\d+) ->/.exec(data.toString())?.[1]
        if (local === undefined) return
        resume(
          Effect.succeed({
            kill: () => void child.kill("SIGKILL"),
            endpoint: { host: "127.0.0.1", port: Number(local) }
          })
        )
      })
      const over = () => {
        ended()
        resume(Effect.succeed(undefined))
      }
      child.once("error", over)
      child.once("exit", over)
    }),
    (opened) => Effect.sync(() => opened?.kill())
  )

const targetOf = (service: Service, wanted: string | number) => {
  const port = service.spec.ports?.find(({ name, port: number }) => name === wanted || number === Number(wanted))
  return port === undefined
    ? undefined
    : (pod: Pod): number | undefined => {
        const target = port.targetPort ?? port.port
        if (typeof target === "number") return target
        return pod.spec.containers.flatMap(({ ports }) => ports ?? []).find(({ name }) => name === target)
          ?.containerPort
      }
}

export const open = (
  api: Api,
  namespace: string,
  name: string,
  wanted: string | number
): Effect.Effect<Endpoint, NotFound | DriverFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const notFound = (message: string) => new NotFound({ object: `Service/${name}`, message })
    const service = (yield* api
      .call(`/api/v1/namespaces/${namespace}/services/${name}`)
      .pipe(
        Effect.mapError((error) =>
          notFound(`There is no Service "${name}" in namespace "${namespace}": ${error.message}`)
        )
      )) as unknown as Service
    const target = targetOf(service, wanted)
    if (target === undefined) {
      const has = (service.spec.ports ?? []).map((each) => each.name ?? each.port).join(", ")
      return yield* notFound(`The Service "${name}" has no port ${wanted}. It has: ${has}.`)
    }
    const selector = Object.entries(service.spec.selector ?? {})
      .map(([key, value]) => `${key}=${value}`)
      .join(",")
    const parent = yield* Effect.scope
    const opened = new Map<string, Open>()

    const look = Effect.gen(function* () {
      const pods = itemsOf<Pod>(
        yield* api.call(`/api/v1/namespaces/${namespace}/pods`, { query: { labelSelector: selector } })
      )
      const present = new Set(pods.map(({ metadata }) => metadata.uid))
      for (const [uid, one] of opened) {
        // Gone, and not before: a request that the pod still answers must not be cut.
        if (present.has(uid) && one.alive) continue
        opened.delete(uid)
        yield* Scope.close(one.scope, Exit.void)
      }
      for (const pod of pods) {
        const { uid, deletionTimestamp } = pod.metadata
        const known = opened.get(uid)
        const ready = isReady(pod) && deletionTimestamp === undefined
        if (known !== undefined) known.ready = ready
        const port = target(pod)
        if (known !== undefined || !ready || port === undefined) continue
        const scope = yield* Scope.make()
        const made = yield* forward(api.context, namespace, pod.metadata.name, port, () => {
          const gone = opened.get(uid)
          if (gone !== undefined) gone.alive = false
        }).pipe(Scope.extend(scope))
        if (made === undefined) yield* Scope.close(scope, Exit.void)
        else opened.set(uid, { scope, endpoint: made.endpoint, alive: true, ready: true })
      }
    }).pipe(Effect.ignore)

    yield* Scope.addFinalizer(
      parent,
      Effect.suspend(() =>
        Effect.forEach([...opened.values()], ({ scope }) => Scope.close(scope, Exit.void), { discard: true })
      )
    )
    yield* look.pipe(
      Effect.repeat({ until: () => opened.size > 0, schedule: Schedule.spaced(LOOK) }),
      Effect.timeoutFail({
        duration: FIRST_TIMEOUT,
        onTimeout: () => notFound(`No pod behind the Service "${name}" became reachable within ${FIRST_TIMEOUT}.`)
      })
    )
    yield* look.pipe(Effect.repeat(Schedule.spaced(LOOK)), Effect.forkIn(parent))
    return yield* openProxy({ host: "127.0.0.1", port: 0 }, () =>
      [...opened.values()].filter(({ ready, alive }) => ready && alive).map(({ endpoint }) => endpoint)
    )
  })
