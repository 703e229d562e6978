/** A gateway over runs and events in memory, with a real issuer, a real port and real sockets. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, Layer, Logger, Option, Ref, Schedule, type Scope, Stream, SubscriptionRef } from "effect"
import { WebSocket } from "ws"
import { AgentUnavailable, RunConflict, RunFinished, RunNotFound } from "../../src/domain/AgentRpcs.ts"
import * as DevIssuer from "../../src/domain/DevIssuer.ts"
import type { Event, RecordedEvent } from "../../src/domain/Event.ts"
import { EventId, type RunId, type SessionId, type TenantId } from "../../src/domain/Ids.ts"
import { isOpen, type RunView } from "../../src/domain/Run.ts"
import type { AdmissionLimits } from "../../src/gateway/Admission.ts"
import * as Gateway from "../../src/gateway/Gateway.ts"
import type { IdentityConfig } from "../../src/gateway/Identity.ts"
import { Lifecycle } from "../../src/gateway/Lifecycle.ts"
import type { ListenFailed } from "../../src/gateway/Listener.ts"
import { Agents, Checks, Load, Records, StorageUnavailable } from "../../src/gateway/Ports.ts"
import type { SocketLimits } from "../../src/gateway/SessionSocket.ts"

export const AUDIENCE = "https://gateway.test"
/** Of users' tokens, which are for the edge. */
export const USER_AUDIENCE = "https://edge.test"

/** An issuer on a port of its own. */
export const testIssuer = (
  issuer = "https://issuer.test"
): Effect.Effect<DevIssuer.DevIssuer & { readonly url: string }, never, Scope.Scope> =>
  Effect.gen(function* () {
    const made = yield* DevIssuer.make({
      issuer,
      subject: { tenant: "acme", subject: "ann", email: "ann@acme.test" }
    })
    const server = createServer(made.handler)
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen(0, "127.0.0.1", () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.closeAllConnections()
          server.close()
        })
    )
    return { ...made, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
  })

interface World {
  readonly runs: ReadonlyArray<RunView & { readonly tenantId: TenantId; readonly message: string }>
  readonly events: ReadonlyArray<RecordedEvent & { readonly tenantId: TenantId }>
}

export interface TestGateway {
  readonly url: string
  readonly issuer: DevIssuer.DevIssuer & { readonly url: string }
  readonly token: string
  readonly request: (
    method: string,
    path: string,
    init?: { readonly body?: unknown; readonly token?: string; readonly headers?: Record<string, string> }
  ) => Effect.Effect<{ readonly status: number; readonly headers: Headers; readonly body: Record<string, unknown> }>
  /** Records an event, as a runner would. */
  readonly record: (tenantId: string, sessionId: string, runId: string, event: Event) => Effect.Effect<void>
  /** Makes agents or records fail as when nobody answers. */
  readonly setOutage: (outage: "agents" | "records" | undefined) => Effect.Effect<void>
  /** What was logged, as text. */
  readonly logs: Effect.Effect<string>
  readonly lifecycle: typeof Lifecycle.Service
}

const wide = { perSecond: 10_000, burst: 10_000 }

export const testGateway = (
  options: {
    readonly socketLimits?: SocketLimits
    readonly askDelay?: Effect.Effect<void>
    readonly admission?: Partial<AdmissionLimits>
    readonly proxyHops?: number
    readonly origins?: ReadonlyArray<string>
    readonly edgeCallers?: ReadonlyArray<string>
    /** The users' issuer, where it is another one than the services'. */
    readonly users?: IdentityConfig
    readonly serviceTenants?: ReadonlyMap<string, string>
  } = {}
): Effect.Effect<TestGateway, ListenFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const issuer = yield* testIssuer()
    const world = yield* SubscriptionRef.make<World>({ runs: [], events: [] })
    const outage = yield* Ref.make<"agents" | "records" | undefined>(undefined)
    const lines: Array<string> = []

    const agentsUp = (sessionId: SessionId) =>
      Effect.filterOrFail(
        Ref.get(outage),
        (down) => down !== "agents",
        () => new AgentUnavailable({ sessionId, waitedMillis: 10 })
      )
    const recordsUp = Effect.filterOrFail(
      Ref.get(outage),
      (down) => down !== "records",
      () => new StorageUnavailable({ cause: "down" })
    )
    const runOf = (tenantId: TenantId, runId: RunId) =>
      Effect.map(Ref.get(world), ({ runs }) => runs.find((run) => run.tenantId === tenantId && run.runId === runId))
    const append = (tenantId: TenantId, sessionId: SessionId, runId: RunId, event: Event) =>
      SubscriptionRef.update(world, ({ runs, events }) => ({
        runs,
        events: [
          ...events,
          {
            tenantId,
            sessionId,
            runId,
            event,
            eventId: EventId.make(
              events.filter((e) => e.tenantId === tenantId && e.sessionId === sessionId).length + 1
            ),
            step: "test",
            sequence: events.length,
            occurredAt: new Date()
          }
        ]
      }))
    const end = (run: RunView, status: RunView["status"]) =>
      SubscriptionRef.update(world, (now) => ({
        ...now,
        runs: now.runs.map((each) => (each.runId === run.runId ? { ...each, status } : each))
      })).pipe(Effect.as({ ...run, status }))

    const agents = Agents.of({
      ask: ({ tenantId, sessionId }, { runId, message, model }) =>
        Effect.gen(function* () {
          yield* agentsUp(sessionId)
          yield* options.askDelay ?? Effect.void
          const found = yield* runOf(tenantId, runId)
          if (found !== undefined) {
            if (found.sessionId !== sessionId) return yield* new RunConflict({ runId, reason: "other-session" })
            if (found.message !== message) return yield* new RunConflict({ runId, reason: "other-request" })
            return found
          }
          const run = {
            tenantId,
            runId,
            sessionId,
            message,
            status: "accepted",
            workflow: "AgentWorkflow",
            executionId: `execution-${runId}`,
            release: "abc",
            runner: null,
            acceptedAt: new Date(),
            finishedAt: null
          } as const
          yield* SubscriptionRef.update(world, (now) => ({ ...now, runs: [...now.runs, run] }))
          yield* append(tenantId, sessionId, runId, { _tag: "RunAccepted", message, model })
          return run
        }),
      cancel: ({ tenantId, sessionId }, { runId }) =>
        Effect.gen(function* () {
          yield* agentsUp(sessionId)
          const run = yield* runOf(tenantId, runId)
          if (run === undefined) return yield* new RunNotFound({ runId })
          return isOpen(run.status) ? yield* end(run, "cancelled") : run
        }),
      approve: ({ tenantId, sessionId }, { runId, by }) =>
        Effect.gen(function* () {
          yield* agentsUp(sessionId)
          const run = yield* runOf(tenantId, runId)
          if (run === undefined) return yield* new RunNotFound({ runId })
          if (!isOpen(run.status)) return yield* new RunFinished({ run })
          yield* append(tenantId, sessionId, runId, { _tag: "Approved", by })
          return run
        })
    })
    const records = Records.of({
      run: (tenantId, runId) => Effect.zipRight(recordsUp, Effect.map(runOf(tenantId, runId), Option.fromNullable)),
      runEvents: (tenantId, runId, after, limit) =>
        Effect.zipRight(
          recordsUp,
          Effect.map(Ref.get(world), ({ events }) =>
            events.filter((e) => e.tenantId === tenantId && e.runId === runId && e.eventId > after).slice(0, limit)
          )
        ),
      next: ({ tenantId, sessionId }, after) =>
        world.changes.pipe(
          Stream.mapEffect(({ events }) =>
            Effect.as(
              recordsUp,
              events.filter((e) => e.tenantId === tenantId && e.sessionId === sessionId && e.eventId > after)
            )
          ),
          Stream.filter((fresh) => fresh.length > 0),
          Stream.runHead,
          Effect.map((found) => ({ events: Option.getOrElse(found, () => []), more: false }))
        )
    })

    const config: Gateway.GatewayOptions = {
      host: "127.0.0.1",
      port: 0,
      drainWindow: "50 millis",
      drainLimit: "5 seconds",
      idleLimit: "200 millis",
      identity: {
        issuer: issuer.issuer,
        audience: AUDIENCE,
        jwksUrl: new URL(`${issuer.url}/jwks`),
        ...(options.serviceTenants === undefined ? {} : { serviceTenants: options.serviceTenants })
      },
      defaultModel: "local",
      admission: {
        address: wide,
        user: wide,
        tenant: wide,
        openRuns: 1_000,
        queueDepth: 1_000,
        tokensPerDay: undefined,
        ...options.admission
      },
      proxyHops: options.proxyHops ?? 0,
      origins: options.origins ?? [],
      edge: {
        callers: options.edgeCallers ?? [],
        users: options.users ?? {
          issuer: issuer.issuer,
          audience: USER_AUDIENCE,
          jwksUrl: new URL(`${issuer.url}/jwks`)
        }
      },
      ...(options.socketLimits === undefined ? {} : { socketLimits: options.socketLimits })
    }
    const context = yield* Layer.build(
      Gateway.layer(config).pipe(
        Layer.provideMerge(
          Layer.mergeAll(
            Layer.succeed(Agents, agents),
            Layer.succeed(Records, records),
            Layer.succeed(Load, {
              allowance: () => Effect.succeed({ tokensToday: 0 }),
              tenant: (tenantId, runId, starting) =>
                Effect.map(Ref.get(world), ({ runs }) => {
                  const mine = runs.filter((run) => run.tenantId === tenantId)
                  return {
                    open: mine.filter((run) => isOpen(run.status) && !starting.includes(run.runId)).length,
                    known: mine.some((run) => run.runId === runId)
                  }
                }),
              working: () =>
                Effect.map(Ref.get(world), ({ runs }) => runs.filter(({ status }) => status === "accepted").length)
            }),
            Layer.succeed(Checks, [
              {
                name: "database",
                run: recordsUp.pipe(
                  Effect.mapError(() => "no answer"),
                  Effect.asVoid
                )
              }
            ])
          )
        ),
        Layer.provideMerge(
          Logger.replace(
            Logger.defaultLogger,
            Logger.map(Logger.jsonLogger, (line) => void lines.push(line))
          )
        )
      )
    )
    const { port } = yield* Gateway.serve(config).pipe(Effect.provide(context))
    const url = `http://127.0.0.1:${port}`
    const token = yield* issuer.issue({ audience: AUDIENCE })

    return {
      url,
      issuer,
      token,
      request: (method, path, init = {}) =>
        Effect.promise(async () => {
          const response = await fetch(`${url}${path}`, {
            method,
            headers: {
              ...(init.token === "" ? {} : { authorization: `Bearer ${init.token ?? token}` }),
              ...(init.body === undefined ? {} : { "content-type": "application/json" }),
              ...init.headers
            },
            ...(init.body === undefined
              ? {}
              : { body: typeof init.body === "string" ? init.body : JSON.stringify(init.body) })
          })
          const text = await response.text()
          return {
            status: response.status,
            headers: response.headers,
            body: (text === "" ? {} : JSON.parse(text)) as Record<string, unknown>
          }
        }),
      record: (tenantId, sessionId, runId, event) =>
        append(tenantId as TenantId, sessionId as SessionId, runId as RunId, event),
      setOutage: (next) =>
        Effect.zipRight(
          Ref.set(outage, next),
          SubscriptionRef.update(world, (now) => ({ ...now }))
        ),
      logs: Effect.sync(() => lines.join("\n")),
      lifecycle: yield* Effect.provide(Lifecycle, context)
    }
  })

export interface TestSocket {
  readonly messages: ReadonlyArray<Record<string, unknown>>
  readonly send: (message: unknown) => Effect.Effect<void>
  /** Waits until the messages received satisfy this. */
  readonly until: (condition: (messages: ReadonlyArray<Record<string, unknown>>) => boolean) => Effect.Effect<void>
  readonly closed: Effect.Effect<{ readonly code: number; readonly reason: string }>
  readonly cut: Effect.Effect<void>
  readonly raw: WebSocket
}

/** Waits, inside a bound, until a condition holds. */
export const eventually = (what: string, condition: () => boolean): Effect.Effect<void> =>
  Effect.sync(condition).pipe(
    Effect.repeat({ until: (holds) => holds, schedule: Schedule.spaced("10 millis") }),
    Effect.timeoutFail({ duration: "45 seconds", onTimeout: () => new Error(`not within 45 s: ${what}`) }),
    Effect.orDie,
    Effect.asVoid
  )

export const connect = (
  url: string,
  options: {
    readonly token?: string
    readonly protocols?: ReadonlyArray<string>
    readonly autoPong?: boolean
    readonly headers?: Readonly<Record<string, string>>
  }
): Effect.Effect<TestSocket, { readonly status: number; readonly body: string }, Scope.Scope> =>
  Effect.gen(function* () {
    const messages: Array<Record<string, unknown>> = []
    let closedWith: { readonly code: number; readonly reason: string } | undefined
    const socket = yield* Effect.acquireRelease(
      Effect.async<WebSocket, { readonly status: number; readonly body: string }>((resume) => {
        const opening = new WebSocket(url.replace(/^http/, "ws"), [...(options.protocols ?? [])], {
          autoPong: options.autoPong ?? true,
          headers: {
            ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
            ...options.headers
          }
        })
        opening.on("message", (data) => messages.push(JSON.parse(data.toString()) as Record<string, unknown>))
        opening.on("close", (code, reason) => {
          closedWith = { code, reason: reason.toString() }
        })
        opening.on("error", () => {})
        opening.once("unexpected-response", (_request, response) => {
          let body = ""
          response.on("data", (chunk) => (body += chunk))
          response.on("end", () => resume(Effect.fail({ status: response.statusCode ?? 0, body })))
        })
        opening.once("open", () => resume(Effect.succeed(opening)))
      }),
      (opened) => Effect.sync(() => opened.terminate())
    )
    return {
      messages,
      raw: socket,
      send: (message) =>
        Effect.sync(() => socket.send(typeof message === "string" ? message : JSON.stringify(message))),
      until: (condition) => eventually("messages on the socket", () => condition(messages)),
      closed: Effect.map(
        eventually("the socket closes", () => closedWith !== undefined),
        () => closedWith ?? { code: 0, reason: "" }
      ),
      cut: Effect.sync(() => socket.terminate())
    }
  })
