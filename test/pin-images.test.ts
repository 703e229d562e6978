import { describe, expect, it } from "vitest"
import { type Fetch, parseReference, pin, resolveDigest } from "../tools/pin-images.ts"

const digest = `sha256:${"0123456789abcdef".repeat(4)}`
const other = `sha256:${"f".repeat(64)}`

describe("pinning base images", () => {
  it("knows where an image's registry is", () => {
    expect(parseReference("node:24-slim")).toEqual({
      registry: "registry-1.docker.io",
      repository: "library/node",
      tag: "24-slim"
    })
    expect(parseReference("grafana/k6:1.8.1").repository).toBe("grafana/k6")
    expect(parseReference(`gcr.io/distroless/nodejs24-debian12:nonroot@${digest}`)).toEqual({
      registry: "gcr.io",
      repository: "distroless/nodejs24-debian12",
      tag: "nonroot"
    })
    expect(parseReference("localhost:5000/a/b:1")).toEqual({ registry: "localhost:5000", repository: "a/b", tag: "1" })
    expect(() => parseReference("node")).toThrow("no tag")
  })

  it("signs in as anybody where the registry asks for it", async () => {
    const asked: Array<string> = []
    const fetch: Fetch = async (url, { headers }) => {
      asked.push(url)
      if (url.startsWith("https://auth.example/token")) return Response.json({ token: "t" })
      return headers["authorization"] === "Bearer t"
        ? new Response(null, { headers: { "docker-content-digest": digest } })
        : new Response(null, {
            status: 401,
            headers: { "www-authenticate": 'Bearer realm="https://auth.example/token",service="registry.example"' }
          })
    }
    expect(await resolveDigest(parseReference("node:24-slim"), fetch)).toBe(digest)
    expect(asked[1]).toBe(
      "https://auth.example/token?service=registry.example&scope=repository%3Alibrary%2Fnode%3Apull"
    )
  })

  it("never takes an answer without a real digest for one", async () => {
    const answers: ReadonlyArray<Response> = [
      new Response(null, { status: 404 }),
      new Response(null, { headers: { "docker-content-digest": "sha256:latest" } }),
      new Response(null)
    ]
    for (const answer of answers) {
      await expect(resolveDigest(parseReference("node:24"), async () => answer)).rejects.toThrow("answered")
    }
  })

  it("pins every base image, replaces an older digest, and leaves the rest of the file alone", async () => {
    const text = `ARG BUILD_IMAGE=node:24-slim\nARG RUNTIME_IMAGE=gcr.io/d/n:nonroot@${other}\nARG COMMIT\nFROM \${BUILD_IMAGE}\n`
    const pinned = await pin(text, async () => digest)
    expect(pinned).toBe(
      `ARG BUILD_IMAGE=node:24-slim@${digest}\nARG RUNTIME_IMAGE=gcr.io/d/n:nonroot@${digest}\nARG COMMIT\nFROM \${BUILD_IMAGE}\n`
    )
    expect(await pin(pinned, async () => digest)).toBe(pinned)
  })
})
