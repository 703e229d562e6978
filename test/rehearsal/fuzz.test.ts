/** Whatever is sent to the server: a refusal in Google's form, and nothing changed. */

import { readdirSync } from "node:fs"
import { request } from "node:http"
import { connect } from "node:net"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { random } from "../support/random.ts"
import { awaitState, GOOD, make, PIPELINE, prepare, type TestServer } from "../support/rehearsal-server.ts"
import { type Attack, attacks } from "./attacks.ts"
import { FRAGMENTS, requests } from "./generated.ts"

/** The same requests for everybody; `make test-fuzz` takes others, and more. */
const SEED = Number(process.env["SEED"] ?? 1)
const GENERATED = Number(process.env["REQUESTS"] ?? 400)

const send = (server: TestServer, { method = "GET", path, body, headers }: Omit<Attack, "what">) =>
  Effect.async<{ readonly status: number; readonly text: string }>((resume) => {
    const { url, token } = server.address()
    const own = { authorization: `Bearer ${token}`, ...headers }
    // Not fetch: it would mend the path, and may not set Host.
    const { hostname, port } = new URL(url)
    const sent = request({ hostname, port, method, path, headers: own }, (response) => {
      const status = response.statusCode ?? 0
      // A stream of events does not end by itself.
      if (response.headers["content-type"] === "text/event-stream") {
        sent.destroy()
        return resume(Effect.succeed({ status, text: "" }))
      }
      let read = ""
      response.on("data", (chunk) => (read += chunk))
      response.on("end", () => resume(Effect.succeed({ status, text: read })))
    })
    sent.on("error", (error) => resume(Effect.succeed({ status: 0, text: error.message })))
    sent.end(body)
  })

/** Bytes that no client would send, and all that comes back. */
const raw = (server: TestServer, bytes: string) =>
  Effect.async<string>((resume) => {
    const socket = connect(Number(new URL(server.address().url).port), "127.0.0.1", () => socket.end(bytes))
    let read = ""
    socket.on("data", (chunk) => (read += chunk))
    socket.on("error", () => resume(Effect.succeed(read)))
    socket.on("close", () => resume(Effect.succeed(read)))
  })

const COLLECTIONS = [
  "targets",
  "deliveryPipelines",
  "deployPolicies",
  "customTargetTypes",
  "deliveryPipelines/-/automations",
  "deliveryPipelines/-/releases",
  "deliveryPipelines/-/releases/-/rollouts",
  "deliveryPipelines/-/releases/-/rollouts/-/jobRuns",
  "deliveryPipelines/-/automationRuns"
]

/** All resources of all places, and the files that the server keeps. */
const everything = (server: TestServer) =>
  Effect.gen(function* () {
    const resources = yield* Effect.forEach(COLLECTIONS, (path) =>
      Effect.map(server.call("GET", `v1/projects/-/locations/-/${path}?pageSize=1000`), ({ body }) => body)
    )
    const files = ["objects", "sources"].map((name) => readdirSync(join(server.folder, "cache", "serve", name)).sort())
    return { resources, files }
  })

/** A server with a release that has been rolled out. */
const served = Effect.gen(function* () {
  const server = yield* make({ takesMs: 0 })
  yield* server.start
  expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
  const rollout = `${PIPELINE}/releases/r-1/rollouts/to-dev`
  yield* server.call("POST", `v1/${PIPELINE}/releases/r-1/rollouts?rolloutId=to-dev`, { targetId: "dev" })
  yield* awaitState(server, rollout, ["SUCCEEDED"])
  return server
})

const refusalOf = (text: string) => (JSON.parse(text) as { readonly error: object }).error

describe("the server's door", () => {
  it.scopedLive(
    `refuses ${attacks.length} bad requests with 4xx in Google's form, and nothing changes`,
    () =>
      Effect.gen(function* () {
        const server = yield* served
        const before = yield* everything(server)
        for (const { what, ...attack } of attacks) {
          const { status, text } = yield* send(server, attack)
          expect({ what, status, text }).toSatisfy(() => status >= 400 && status < 500)
          expect({ what, ...refusalOf(text) }).toMatchObject({
            code: status,
            status: expect.any(String),
            message: expect.any(String)
          })
        }
        for (const bytes of FRAGMENTS) {
          const answer = yield* raw(server, bytes)
          expect({ bytes: bytes.slice(0, 80), answer }).toMatchObject({
            answer: expect.stringMatching(/^HTTP\/1\.1 4\d\d /)
          })
          expect(refusalOf(answer.slice(answer.indexOf("\r\n\r\n") + 4))).toMatchObject({ code: expect.any(Number) })
        }
        expect(yield* everything(server)).toEqual(before)
      }),
    { timeout: 240_000 }
  )

  it.scopedLive(
    `answers ${GENERATED} generated requests without a failure of its own, and nothing changes (seed ${SEED})`,
    () =>
      Effect.gen(function* () {
        const server = yield* served
        const before = yield* everything(server)
        let refused = 0
        for (const { what, ...attack } of requests(random(SEED), GENERATED)) {
          const { status, text } = yield* send(server, attack)
          expect({ what, ...attack, status, text }).toSatisfy(() => status >= 200 && status < 500)
          if (status < 400) continue
          refused++
          expect({ what, ...refusalOf(text) }).toMatchObject({ code: status, message: expect.any(String) })
        }
        expect(refused).toBeGreaterThan(GENERATED / 4)
        expect(yield* everything(server)).toEqual(before)
      }),
    { timeout: 240_000 + GENERATED * 30 }
  )

  it.scopedLive(
    "lets so many pages follow its events, refuses the next, and takes one again when another has gone",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const headers = { authorization: `Bearer ${server.address().token}` }
        const open = Effect.promise(async () => {
          const going = new AbortController()
          const response = await fetch(`${server.address().url}/console/events`, { headers, signal: going.signal })
          return { response, end: () => going.abort() }
        })
        const pages = yield* Effect.replicateEffect(open, 32)
        expect(pages.map(({ response }) => response.status)).toEqual(pages.map(() => 200))
        const next = yield* open
        expect(next.response.status).toBe(400)
        expect(yield* Effect.promise(() => next.response.json())).toMatchObject({ error: { code: 400 } })
        pages[0]!.end()
        const again = yield* open.pipe(
          Effect.filterOrFail(({ response }) => response.status === 200),
          Effect.retry(Schedule.spaced("20 millis").pipe(Schedule.upTo("20 seconds")))
        )
        const first = yield* Effect.promise(() => again.response.body!.getReader().read())
        expect(new TextDecoder().decode(first.value as Uint8Array)).toMatch(/^event: state\ndata: \{/)
        for (const page of [...pages, again]) page.end()
      }),
    { timeout: 240_000 }
  )
})
