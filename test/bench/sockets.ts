/**
 * `make bench-sockets`: what one gateway does with many sockets, on a Postgres of its own. Environment:
 *
 *     IDLE=2000  BUSY=200   sockets whose session is silent, and whose session writes
 *     RATE=2                events a second of a busy session
 *     SECONDS=20            how long it is measured, after as long as WARM=5
 *
 * A busy session is written to as a runner writes, by the same statement; no runner is here, since its work would take the
 * processors from what is measured. Delay is from the event's `occurred_at` to its arrival at the client, on one clock.
 * Ends with 1 when p99 is above 250 ms or an event is missing or doubled.
 */
import { readFileSync } from "node:fs"
import { Effect } from "effect"
import pg from "pg"
import { WebSocket } from "ws"
import type { Statement } from "../../src/domain/Statement.ts"
import { acceptRun, appendEvents } from "../../src/events/statements.ts"
import { gatewayPod, issuerAt } from "../support/gateway-pod.ts"
import { testImage } from "../support/image.ts"
import { databaseSecret } from "../support/pods.ts"
import { until } from "../support/wait.ts"
import { machine, number, print, quantile, world } from "./world.ts"

const P99_LIMIT_MS = 250
const TENANT = "bench"
const AUDIENCE = "https://bench.test"
/** Handshakes at the same time. */
const OPENING = 50
/** Writers at the same time: as many connections as a few runners use for it. */
const WRITERS = 16

const idle = number("IDLE", 2_000)
const busy = number("BUSY", 200)
const rate = number("RATE", 2)
const seconds = number("SECONDS", 20)
const warm = number("WARM", 5)

const session = (index: number) => `s${index}`

/** Of a Linux process, in KiB; elsewhere there is no such file, and nothing is said of memory. */
const residentKiB = (pid: number): number => {
  try {
    return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1])
  } catch {
    return Number.NaN
  }
}

interface Client {
  readonly socket: WebSocket
  /** Delays in ms, of the events that came while it was measured. */
  readonly delays: Array<number>
  readonly ids: Array<number>
}

const open = (url: string, token: string, index: number, measured: () => boolean) =>
  Effect.async<Client, Error>((resume) => {
    const socket = new WebSocket(`${url}/ws/${session(index)}`, { headers: { authorization: `Bearer ${token}` } })
    const client: Client = { socket, delays: [], ids: [] }
    socket.on("message", (data) => {
      const message = JSON.parse(data.toString()) as { type: string; event: { eventId: number; occurredAt: string } }
      if (message.type !== "event") return
      client.ids.push(message.event.eventId)
      if (measured()) client.delays.push(Date.now() - Date.parse(message.event.occurredAt))
    })
    socket.once("open", () => resume(Effect.succeed(client)))
    socket.once("error", (error) => resume(Effect.fail(error)))
    socket.once("unexpected-response", (_request, { statusCode }) =>
      resume(Effect.fail(new Error(`a handshake was answered with ${statusCode}`)))
    )
  })

const program = Effect.gen(function* () {
  const { subnet, migratedDatabase } = yield* world
  const url = yield* migratedDatabase("bench")
  const image = yield* testImage({ entries: ["gateway"] })
  const subject = { tenant: TENANT, subject: "bench", email: "bench@agents.test" }
  const issuer = yield* issuerAt(subnet.address(3), subject)
  const gateway = yield* gatewayPod({
    ...{ image, issuer },
    ordinal: 0,
    address: subnet.address(100),
    secret: yield* databaseSecret(url),
    audience: AUDIENCE,
    env: {
      // To look inside: `--cpu-prof`, `--heapsnapshot-signal=SIGUSR2`.
      NODE_OPTIONS: process.env["GATEWAY_NODE_OPTIONS"] ?? "",
      // All clients have one address here.
      ADDRESS_REQUESTS_PER_SECOND: "100000"
    }
  })
  // Alive, not ready: there is no runner.
  yield* until("the gateway listens", gateway.get("/healthz"), ({ status }) => status === 200, "60 seconds")
  const token = yield* issuer.issue({ audience: AUDIENCE })
  const base = `ws://${gateway.address}:8080`

  const writers = new pg.Pool({ connectionString: url, max: WRITERS })
  yield* Effect.addFinalizer(() => Effect.promise(() => writers.end()))
  /** Typed: this page's figures went unmeasured for a while since a parameter of a statement had changed. */
  const run = <Params extends ReadonlyArray<unknown>>({ text }: Statement<unknown, Params>, ...params: Params) =>
    writers.query(text, [...params])
  const write = (index: number, sequence: number) => {
    const event = [
      { step: "bench", sequence, type: "Token", payload: { text: "some forty characters of an answer, or so" } }
    ]
    const [runId, executionId] = [`r${index}`, `e${index}`]
    return run(
      appendEvents,
      TENANT,
      session(index),
      runId,
      executionId,
      JSON.stringify(event),
      null,
      false,
      "bench",
      "bench"
    )
  }
  yield* Effect.forEach(
    Array.from({ length: busy }, (_, index) => index),
    (index) =>
      Effect.promise(() =>
        run(
          acceptRun,
          TENANT,
          session(index),
          `r${index}`,
          JSON.stringify([{ workflow: "AgentWorkflow", executionId: `e${index}` }]),
          "bench",
          "bench",
          "accept",
          '{"message":"x","model":"x"}'
        )
      ),
    { concurrency: WRITERS, discard: true }
  )

  let measuring = false
  const connect = (from: number, count: number) =>
    Effect.forEach(
      Array.from({ length: count }, (_, index) => from + index),
      (index) => open(base, token, index, () => measuring),
      { concurrency: OPENING }
    )
  const before = residentKiB(gateway.pid)
  const startedAt = performance.now()
  const silent = yield* connect(busy, idle)
  const openedIn = performance.now() - startedAt
  yield* Effect.sleep(`${warm} seconds`)
  const withIdle = residentKiB(gateway.pid)
  const clients = yield* connect(0, busy)
  const all = [...silent, ...clients]
  yield* Effect.addFinalizer(() => Effect.sync(() => all.forEach(({ socket }) => socket.terminate())))

  // Each session at its own moment of the period, as users are.
  const sequences = Array.from({ length: busy }, () => 0)
  let failures = 0
  const timers = sequences.map((_, index) => {
    const tick = () => {
      const sequence = sequences[index] ?? 0
      sequences[index] = sequence + 1
      write(index, sequence).catch(() => (failures += 1))
    }
    let interval: NodeJS.Timeout | undefined
    const first = setTimeout(
      () => {
        tick()
        interval = setInterval(tick, 1_000 / rate)
      },
      (index / busy) * (1_000 / rate)
    )
    return () => {
      clearTimeout(first)
      clearInterval(interval)
    }
  })
  yield* Effect.sleep(`${warm} seconds`)
  measuring = true
  yield* Effect.sleep(`${seconds} seconds`)
  measuring = false
  for (const stop of timers) stop()
  const whole = ({ ids }: Client, index: number) => ids.length >= (sequences[index] ?? 0) + 1
  const complete = yield* until(
    "the last events",
    Effect.sync(() => clients.every(whole)),
    (arrived) => arrived,
    "20 seconds"
  ).pipe(Effect.orElseSucceed(() => false))
  const underLoad = residentKiB(gateway.pid)

  const delays = clients.flatMap((client) => client.delays)
  const inOrder = clients.every(({ ids }) => ids.every((id, i) => i === 0 || id > (ids[i - 1] ?? 0)))
  const quiet = silent.every(({ ids }) => ids.length === 0)
  const stillOpen = all.filter(({ socket }) => socket.readyState === WebSocket.OPEN).length
  const p99 = quantile(delays, 0.99)
  const report = {
    idleSockets: idle,
    busySockets: busy,
    eventsPerSecond: busy * rate,
    events: delays.length,
    delayMs: { p50: quantile(delays, 0.5), p95: quantile(delays, 0.95), p99, max: quantile(delays, 1) },
    handshakesPerSecond: Math.round((idle / openedIn) * 1_000),
    gatewayMiB: {
      empty: Math.round(before / 1_024),
      idle: Math.round(withIdle / 1_024),
      busy: Math.round(underLoad / 1_024)
    },
    kibPerIdleSocket: Math.round(((withIdle - before) / idle) * 10) / 10,
    socketsOpen: stillOpen,
    writesFailed: failures,
    complete,
    inOrder,
    machine: machine()
  }
  yield* print(JSON.stringify(report, null, 2))
  const passed = p99 <= P99_LIMIT_MS && complete && inOrder && quiet && stillOpen === idle + busy && failures === 0
  yield* print(
    passed
      ? `ok: p99 ${p99} ms, ${report.kibPerIdleSocket} KiB an idle socket`
      : `FAILED: p99 ${p99} ms (limit ${P99_LIMIT_MS} ms), all events ${complete}, in order ${inOrder}, sockets open ${stillOpen}`
  )
  return passed
})

const passed = await Effect.runPromise(Effect.scoped(program)).catch((error: unknown) => {
  process.stderr.write(`The measurement failed: ${error instanceof Error ? error.message : String(error)}\n`)
  return false
})
process.exit(passed ? 0 : 1)
