/** Whatever is sent to the server: a refusal in Google's form, and nothing changed. */
import { request } from "node:http"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { GOOD, make, PARENT, PIPELINE, prepare } from "../support/rehearsal-server.ts"

interface Attack {
  readonly what: string
  readonly method?: string
  readonly path: string
  readonly body?: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

const deep = `{"description":${"[".repeat(50_000)}${"]".repeat(50_000)}}`
const target = `/v1/${PARENT}/targets/dev?updateMask=*`

const attacks: ReadonlyArray<Attack> = [
  { what: "no JSON", method: "PATCH", path: target, body: "{" },
  { what: "no UTF-8", method: "PATCH", path: target, body: Buffer.from([0x7b, 0xff, 0xfe, 0x7d]) },
  { what: "a list", method: "PATCH", path: target, body: "[]" },
  { what: "a text", method: "PATCH", path: target, body: '"x"' },
  { what: "a wrong type", method: "PATCH", path: target, body: '{"requireApproval":"yes"}' },
  { what: "a wrong type below", method: "PATCH", path: target, body: '{"gke":[1]}' },
  { what: "an unknown field", method: "PATCH", path: target, body: '{"requireAproval":true}' },
  { what: "an unknown enum value", method: "PATCH", path: target, body: '{"executionConfigs":[{"usages":["DPLOY"]}]}' },
  { what: "a prototype", method: "PATCH", path: target, body: '{"__proto__":{"requireApproval":true}}' },
  { what: "endless nesting", method: "PATCH", path: target, body: deep },
  { what: "a huge body", method: "PATCH", path: target, body: `{"description":"${"x".repeat(5 * 1024 * 1024)}"}` },
  { what: "a stale etag", method: "PATCH", path: target, body: '{"etag":"stale"}' },
  { what: "dots in the path", path: `/v1/${PARENT}/targets/../../x` },
  { what: "encoded dots", path: `/v1/${PARENT}/targets/%2e%2e/%2e%2e` },
  { what: "encoded slashes and dots", path: "/v1/projects/p%2f..%2f..%2fetc%2fpasswd" },
  { what: "bad encoding", path: "/v1/projects/%zz/locations/l/targets" },
  { what: "a zero byte", path: "/v1/projects/p%00/locations/l/targets" },
  { what: "empty segments", path: "/v1//projects/p/locations/l/targets" },
  { what: "an unknown collection", path: `/v1/${PARENT}/secrets` },
  { what: "a collection named like a method of objects", path: `/v1/${PARENT}/constructor` },
  { what: "an unknown method", method: "POST", path: `/v1/${PIPELINE}:explode`, body: "{}" },
  { what: "a bad id", method: "POST", path: `/v1/${PARENT}/targets?targetId=../../etc`, body: "{}" },
  { what: "a bad filter", path: `/v1/${PARENT}/targets?filter=((((` },
  { what: "a bad page token", path: `/v1/${PARENT}/targets?pageToken=!!!!` },
  { what: "a negative page", path: `/v1/${PARENT}/targets?pageSize=-1` },
  {
    what: "a rollout to nowhere",
    method: "POST",
    path: `/v1/${PIPELINE}/releases/r-1/rollouts?rolloutId=x`,
    body: '{"targetId":"moon"}'
  },
  { what: "a release without source", method: "POST", path: `/v1/${PIPELINE}/releases?releaseId=r-9`, body: "{}" },
  {
    what: "a source elsewhere",
    method: "POST",
    path: `/v1/${PIPELINE}/releases?releaseId=r-9`,
    body: '{"skaffoldConfigUri":"file:///etc/passwd"}'
  },
  {
    what: "a bucket of dots",
    method: "POST",
    path: "/upload/storage/v1/b/..%2f..%2fx/o?uploadType=media&name=a",
    body: "x"
  },
  {
    what: "an upload without parts",
    method: "POST",
    path: "/upload/storage/v1/b/sources/o?uploadType=multipart",
    body: "x"
  },
  { what: "deleting with a stale etag", method: "DELETE", path: `/v1/${PARENT}/targets/dev?etag=stale` },
  { what: "deleting a pipeline with releases", method: "DELETE", path: `/v1/${PIPELINE}` },
  { what: "a foreign Origin", path: target, method: "PATCH", body: "{}", headers: { origin: "https://example.com" } },
  { what: "Origin null", path: target, method: "PATCH", body: "{}", headers: { origin: "null" } },
  { what: "a foreign Host", path: `/v1/${PARENT}/targets`, headers: { host: "rebind.example.com" } },
  { what: "no token", path: `/v1/${PARENT}/targets`, headers: { authorization: "" } },
  { what: "another token", path: `/v1/${PARENT}/targets`, headers: { authorization: "Bearer x" } },
  { what: "the token in a query of the API", path: `/v1/${PARENT}/targets?token=x`, headers: { authorization: "" } },
  { what: "the console's state without a session", path: "/console/state", headers: { authorization: "" } },
  { what: "the console's events without a session", path: "/console/events", headers: { authorization: "" } },
  { what: "the API's token as a session", path: "/console/state?token=x", headers: { authorization: "" } },
  { what: "a login with another token", path: "/console/login?token=x", headers: { authorization: "" } },
  { what: "a login by a foreign Host", path: "/console/login", headers: { host: "rebind.example.com" } },
  { what: "the page for a foreign Host", path: "/console/", headers: { host: "rebind.example.com" } },
  { what: "a file beside the page", path: "/console/main.tsx" },
  { what: "evidence of no rollout", path: "/console/evidence?rollout=x'%20or%20true" },
  { what: "a log of no run", path: "/console/log?jobRun=x" },
  { what: "nowhere", path: "/etc/passwd" }
]

describe("the server's door", () => {
  it.scopedLive(
    `refuses ${attacks.length} bad requests with 4xx in Google's form, and nothing changes`,
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        const everything = Effect.forEach(["targets", "deliveryPipelines", "deliveryPipelines/-/releases"], (path) =>
          Effect.map(server.call("GET", `v1/${PARENT}/${path}`), ({ body }) => body)
        )
        const before = yield* everything
        const { url, token } = server.address()
        for (const { what, method = "GET", path, body, headers } of attacks) {
          const { status, text } = yield* Effect.async<{ status: number; text: string }>((resume) => {
            const own = { authorization: `Bearer ${token}`, ...headers }
            // Not fetch: it would mend the path, and may not set Host.
            const { hostname, port } = new URL(url)
            const sent = request({ hostname, port, method, path, headers: own }, (response) => {
              let read = ""
              response.on("data", (chunk) => (read += chunk))
              response.on("end", () => resume(Effect.succeed({ status: response.statusCode ?? 0, text: read })))
            })
            sent.on("error", (error) => resume(Effect.succeed({ status: 0, text: error.message })))
            sent.end(body)
          })
          expect({ what, status, text }).toSatisfy(() => status >= 400 && status < 500)
          const { error } = JSON.parse(text)
          expect({ what, ...error }).toMatchObject({
            code: status,
            status: expect.any(String),
            message: expect.any(String)
          })
        }
        expect(yield* everything).toEqual(before)
      }),
    { timeout: 240_000 }
  )
})
