/** The part of Kubernetes' API that runners ask about their pods: a list and a watch, with a token that may change, and it may be away. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type ServerResponse } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { SELECTOR } from "../../src/runtime/PodHealth.ts"
import { until } from "./wait.ts"

export const pod = (name: string, status: object) => ({ metadata: { name, resourceVersion: "1" }, status })
export const running = { phase: "Running", containerStatuses: [{ state: { running: {} } }] }
export const crashed = { phase: "Running", containerStatuses: [{ state: { waiting: { reason: "CrashLoopBackOff" } } }] }

export const podApi = Effect.gen(function* () {
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
        if (!known || searchParams.get("labelSelector") !== SELECTOR) {
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
