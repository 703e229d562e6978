/**
 * Probes and hooks: is the container started, ready, alive?
 *
 * Periods, timeouts and thresholds are the manifest's. With `fastStart` a container that was not yet ready is asked every 100 ms
 * and at once, so that a laptop does not wait for the next period; how long it may take at most is still the manifest's
 * `initialDelaySeconds + failureThreshold × periodSeconds`.
 */
import { request } from "node:http"
import { connect } from "node:net"
import { Effect, Schedule } from "effect"
import type { Container, Handler, Probe } from "./PodSpec.ts"

/** Kubernetes' defaults. */
const PERIOD = 10
const TIMEOUT = 1
const FAILURES = 3
const FAST_MS = 100
const everyFast = Schedule.spaced(FAST_MS)

export interface Target {
  readonly address: string
  readonly container: Container
  /** Runs a command inside the container; true when it ends with 0. */
  readonly exec: (words: ReadonlyArray<string>) => Effect.Effect<boolean>
}

const portNumber = (port: number | string, container: Container): number =>
  typeof port === "number" ? port : (container.ports?.find(({ name }) => name === port)?.containerPort ?? 0)

type HttpGet = NonNullable<Probe["httpGet"]>

const httpGet = (get: HttpGet, { address, container }: Target): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const call = request(
      {
        host: address,
        port: portNumber(get.port, container),
        path: get.path ?? "/",
        headers: Object.fromEntries([
          ["user-agent", "kube-probe/rehearsal"],
          ...(get.httpHeaders ?? []).map(({ name, value }) => [name, value])
        ]),
        agent: false
      },
      (response) => {
        response.resume()
        const status = response.statusCode ?? 0
        resume(Effect.succeed(status >= 200 && status < 400))
      }
    )
    call.on("error", () => resume(Effect.succeed(false)))
    call.end()
    return Effect.sync(() => call.destroy())
  })

const tcpSocket = (port: number | string, { address, container }: Target): Effect.Effect<boolean> =>
  Effect.async((resume) => {
    const socket = connect(portNumber(port, container), address)
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(true))
    })
    socket.on("error", () => resume(Effect.succeed(false)))
    return Effect.sync(() => socket.destroy())
  })

/** A timer this late means that the rehearsal itself stood still, and says nothing about the container. */
const STALL_MS = 250

/** Asks once. A probe that takes longer than its timeout failed, unless it was the asker who slept: then it asks again. */
export const ask = (probe: Probe, target: Target): Effect.Effect<boolean> => {
  const once = probe.httpGet
    ? httpGet(probe.httpGet, target)
    : probe.tcpSocket
      ? tcpSocket(probe.tcpSocket.port, target)
      : target.exec(probe.exec?.command ?? [])
  const timeoutMs = (probe.timeoutSeconds ?? TIMEOUT) * 1000
  return Effect.suspend(() => {
    const begun = Date.now()
    return once.pipe(
      Effect.timeoutTo({
        duration: timeoutMs,
        onSuccess: (passed) => Effect.succeed(passed),
        onTimeout: () => (Date.now() - begun > timeoutMs + STALL_MS ? ask(probe, target) : Effect.succeed(false))
      }),
      Effect.flatten
    )
  })
}

/** Runs a preStop hook to its end. A failing one changes nothing, as in Kubernetes. */
export const runHook = (handler: Handler, target: Target): Effect.Effect<void> =>
  handler.sleep
    ? Effect.sleep(handler.sleep.seconds * 1000)
    : Effect.asVoid(handler.httpGet ? httpGet(handler.httpGet, target) : target.exec(handler.exec?.command ?? []))

const threshold = (value: number | undefined, fallback: number) => value ?? fallback

/** Ends with true once the container has started, with false when its time is over. */
export const awaitStarted = (probe: Probe | undefined, target: Target, fastStart: boolean): Effect.Effect<boolean> => {
  if (probe === undefined) return Effect.succeed(true)
  const periodMs = (probe.periodSeconds ?? PERIOD) * 1000
  const delayMs = (probe.initialDelaySeconds ?? 0) * 1000
  if (fastStart) {
    return ask(probe, target).pipe(
      Effect.flatMap((passed) => (passed ? Effect.void : Effect.fail("not yet" as const))),
      Effect.retry(everyFast),
      Effect.orDie,
      Effect.timeoutTo({
        duration: delayMs + periodMs * threshold(probe.failureThreshold, FAILURES),
        onSuccess: () => true,
        onTimeout: () => false
      })
    )
  }
  return Effect.gen(function* () {
    yield* Effect.sleep(delayMs)
    for (let failures = 0; failures < threshold(probe.failureThreshold, FAILURES); failures++) {
      if (yield* ask(probe, target)) return true
      yield* Effect.sleep(periodMs)
    }
    return false
  })
}

/** Reports each change of readiness until interrupted. */
export const watchReady = (
  probe: Probe | undefined,
  target: Target,
  fastStart: boolean,
  report: (ready: boolean) => void
): Effect.Effect<never> =>
  Effect.gen(function* () {
    if (probe === undefined) {
      report(true)
      return yield* Effect.never
    }
    if (!fastStart) yield* Effect.sleep((probe.initialDelaySeconds ?? 0) * 1000)
    let ready = false
    let everReady = false
    let streak = 0
    while (true) {
      const passed = yield* ask(probe, target)
      streak = passed === ready ? 0 : streak + 1
      const needed = ready ? threshold(probe.failureThreshold, FAILURES) : threshold(probe.successThreshold, 1)
      if (streak >= needed) {
        ready = passed
        streak = 0
        everReady ||= passed
        report(ready)
      }
      yield* Effect.sleep(fastStart && !everReady ? FAST_MS : (probe.periodSeconds ?? PERIOD) * 1000)
    }
  })

/** Ends when the container is judged dead. */
export const awaitDead = (probe: Probe | undefined, target: Target): Effect.Effect<void> =>
  Effect.gen(function* () {
    if (probe === undefined) return yield* Effect.never
    yield* Effect.sleep((probe.initialDelaySeconds ?? 0) * 1000)
    let failures = 0
    while (true) {
      failures = (yield* ask(probe, target)) ? 0 : failures + 1
      if (failures >= threshold(probe.failureThreshold, FAILURES)) return
      yield* Effect.sleep((probe.periodSeconds ?? PERIOD) * 1000)
    }
  })
