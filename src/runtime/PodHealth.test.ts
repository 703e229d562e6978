import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { until } from "../../test/support/wait.ts"
import * as PodHealth from "./PodHealth.ts"

const pod = (name: string, status: object) => ({ metadata: { name, resourceVersion: "1" }, status })
const running = { phase: "Running", containerStatuses: [{ state: { running: {} } }] }
const crashed = { phase: "Running", containerStatuses: [{ state: { waiting: { reason: "CrashLoopBackOff" } } }] }

/** The two requests of Kubernetes' API, with a token that may change, and an API that may be away. */
const server = Effect.gen(function* () {
  const folder = yield* Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "agents-pods-"))),
    (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
  )
  const tokenFile = join(folder, "token")
  const state = { token: "one", pods: [] as Array<object>, status: 200, lists: 0, refused: 0 }
  const watches = new Set<ServerResponse>()
  writeFileSync(tokenFile, "one\n")
  const made = yield* Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>>((resume) => {
      const http = createServer((request, response) => {
        const { pathname, searchParams } = new URL(request.url ?? "", "http://api")
        const known = pathname === "/api/v1/namespaces/agents/pods"
        if (!known || searchParams.get("labelSelector") !== "app=effect-agent-runtime") {
          response.writeHead(404).end()
        } else if (request.headers.authorization !== `Bearer ${state.token}`) {
          state.refused++
          response.writeHead(401).end("{}")
        } else if (state.status !== 200) {
          response.writeHead(state.status).end("{}")
        } else if (searchParams.get("watch") === "1") {
          response.writeHead(200, { "content-type": "application/json" }).flushHeaders()
          watches.add(response)
          response.on("close", () => watches.delete(response))
        } else {
          state.lists++
          response.end(JSON.stringify({ metadata: { resourceVersion: "7" }, items: state.pods }))
        }
      })
      http.listen(0, "127.0.0.1", () => resume(Effect.succeed(http)))
    }),
    (http) =>
      Effect.sync(() => {
        http.closeAllConnections()
        http.close()
      })
  )
  const watching = until(
    "a watch",
    Effect.sync(() => watches.size),
    (count) => count > 0
  )
  return {
    state,
    tokenFile,
    url: `http://127.0.0.1:${(made.address() as AddressInfo).port}`,
    watching,
    /** Sends a change to who watches, half of its line at a time. */
    tell: (type: string, object: object) =>
      Effect.map(watching, () => {
        const line = `${JSON.stringify({ type, object })}\n`
        for (const each of watches) each.write(line.slice(0, 9))
        for (const each of watches) each.write(line.slice(9))
      }),
    cut: Effect.sync(() => {
      for (const each of watches) each.destroy()
    })
  }
})

const host = (name: string) => `${name}.effect-agent-runners.agents.svc.cluster.local`

const started = Effect.gen(function* () {
  const api = yield* server
  api.state.pods = [pod("runner-0", running), pod("runner-1", crashed)]
  const health = yield* PodHealth.watch({ url: api.url, namespace: "agents", tokenFile: api.tokenFile }, "20 millis")
  const becomes = (name: string, alive: boolean) =>
    until(
      `${name} alive: ${alive}`,
      Effect.sync(() => health.isAlive(host(name))),
      (now) => now === alive
    )
  yield* api.watching
  return { api, health, becomes }
})

describe("PodHealth", () => {
  it.scopedLive("knows pods by the name in their runner's address, and calls one alive that it never saw", () =>
    Effect.gen(function* () {
      const { health } = yield* started
      expect(["runner-0", "runner-1", "runner-7"].map((name) => health.isAlive(host(name)))).toEqual([
        true,
        false,
        true
      ])
    })
  )

  it.scopedLive("follows what happens to pods without asking again", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      yield* api.tell("MODIFIED", pod("runner-1", running))
      yield* becomes("runner-1", true)
      yield* api.tell("BOOKMARK", { metadata: { resourceVersion: "9" } })
      yield* api.tell("MODIFIED", pod("runner-0", { ...running, reason: "NodeLost" }))
      yield* becomes("runner-0", false)
      yield* api.tell("DELETED", pod("runner-1", running))
      yield* becomes("runner-1", false)
      yield* api.tell("ADDED", pod("runner-1", running))
      yield* becomes("runner-1", true)
      expect(api.state.lists).toBe(1)
    })
  )

  it.scopedLive("calls every pod alive while the API can't be read, and knows them again after", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      api.state.status = 503
      yield* api.cut
      yield* becomes("runner-1", true)
      api.state.status = 200
      yield* becomes("runner-1", false)
    })
  )

  it.scopedLive("reads its token again, which the kubelet rotates", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      api.state.token = "two"
      api.state.pods = [pod("runner-1", running)]
      yield* api.cut
      yield* until(
        "a refusal of the old token",
        Effect.sync(() => api.state.refused),
        (count) => count > 0
      )
      writeFileSync(api.tokenFile, "two\n")
      yield* until(
        "a list with the new one",
        Effect.sync(() => api.state.lists),
        (lists) => lists > 1
      )
      yield* becomes("runner-1", true)
    })
  )

  it.scopedLive("reads the list anew when the watch is too old, and finds who left meanwhile", () =>
    Effect.gen(function* () {
      const { api, becomes } = yield* started
      api.state.pods = [pod("runner-1", running)]
      yield* api.tell("ERROR", { kind: "Status", code: 410 })
      yield* becomes("runner-1", true)
      yield* becomes("runner-0", false)
    })
  )

  it("takes a pod for dead only when its process can't be there", () => {
    const of = (status: object) => PodHealth.runs({ metadata: { name: "x" }, status })
    expect([running, {}, { phase: "Unknown" }, { phase: "Running" }].map(of)).toEqual([true, true, true, true])
    const draining = { ...running, conditions: [{ type: "Ready", status: "False" }] }
    expect(of(draining)).toBe(true)
    expect(
      [crashed, { phase: "Pending" }, { phase: "Failed" }, { phase: "Failed", reason: "Evicted" }].map(of)
    ).toEqual([false, false, false, false])
  })
})
