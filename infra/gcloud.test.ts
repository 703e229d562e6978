/** The unmodified gcloud reads the delivery and build files and sends what it made of them to a server on loopback. */
import { execFile, execFileSync } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer, type Server } from "node:http"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { parse, parseAllDocuments } from "yaml"
import { written } from "../src/rehearsal/clouddeploy/ApiForm.ts"
import { readDeliveryConfig } from "../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { repository } from "./delivery.ts"

const present = (() => {
  try {
    execFileSync("gcloud", ["version"], { stdio: "ignore" })
    return true
  } catch {
    process.stdout.write(
      "gcloud is not on this machine: whether it accepts clouddeploy/ and cloudbuild*.yaml is not tried.\n"
    )
    return false
  }
})()

interface Sent {
  readonly method: string
  readonly path: string
  readonly body: Readonly<Record<string, unknown>>
}

let server: Server
let folder: string
let sent: Array<Sent> = []
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "gcloud-"))
  server = createServer((request, response) => {
    let text = ""
    request.on("data", (part: Buffer) => {
      text += part.toString()
    })
    request.on("end", () => {
      const path = new URL(request.url ?? "/", "http://x").pathname
      const body = text === "" ? {} : (JSON.parse(text) as Sent["body"])
      sent.push({ method: request.method ?? "", path, body })
      const build = {
        id: "b-1",
        projectId: "p1",
        name: "projects/p1/locations/us-central1/builds/b-1",
        status: "QUEUED",
        ...body
      }
      response.setHeader("content-type", "application/json")
      response.end(
        JSON.stringify({
          name: "projects/p1/locations/us-central1/operations/o-1",
          done: true,
          response: {},
          ...(path.endsWith("/builds") ? { metadata: { build } } : {})
        })
      )
    })
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true })
})

const gcloud = (...args: ReadonlyArray<string>) =>
  new Promise<{ readonly ok: boolean; readonly said: string }>((resolve) => {
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
    const env = {
      ...process.env,
      CLOUDSDK_CONFIG: join(folder, "config"),
      CLOUDSDK_CORE_PROJECT: "p1",
      CLOUDSDK_CORE_DISABLE_PROMPTS: "1",
      CLOUDSDK_AUTH_DISABLE_CREDENTIALS: "True",
      CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDDEPLOY: at,
      CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDBUILD: at
    }
    execFile("gcloud", [...args], { env }, (error, stdout, stderr) =>
      resolve({ ok: error === null, said: `${stdout}${stderr}` })
    )
  })

const text = (file: string) => readFileSync(join(repository, file), "utf8")
const files = readdirSync(join(repository, "clouddeploy")).map((file) => `clouddeploy/${file}`)

describe.skipIf(!present)("gcloud, unmodified", () => {
  it("accepts every pipeline, target, automation and policy", async () => {
    const all = join(folder, "delivery.yaml")
    writeFileSync(all, files.map(text).join("\n---\n"))
    sent = []
    const { ok, said } = await gcloud("deploy", "apply", `--file=${all}`, "--region=us-central1")
    expect(ok, said).toBe(true)
    const documents = files.flatMap((file) => parseAllDocuments(text(file)).map((document) => document.toJS()))
    const names = documents.map(({ metadata }: { metadata: { name: string } }) => metadata.name.split("/").at(-1))
    expect(
      sent
        .filter(({ method }) => method === "PATCH")
        .map(({ path }) => path.split("/").at(-1))
        .sort()
    ).toEqual(names.sort())
    // A mistyped rule of an automation arrives as {}: nothing of ours may.
    for (const { body } of sent) for (const rule of (body["rules"] ?? []) as Array<object>) expect(rule).not.toEqual({})
    // What a push and Pulumi make of the files is what gcloud makes of them; the name, and a time's seconds of 0, it adds.
    const bodies = written(await Effect.runPromise(readDeliveryConfig(join(repository, "clouddeploy"))))
    expect(new Set(bodies.map(({ kind }) => kind)).size).toBe(4)
    const plain = (body: object | undefined) =>
      JSON.parse(JSON.stringify({ ...body, name: undefined }), (key, value: unknown) =>
        (key === "seconds" || key === "nanos") && value === 0 ? undefined : value
      )
    for (const { path, body } of bodies) {
      const theirs = sent.find((one) => one.method === "PATCH" && one.path.endsWith(`/locations/us-central1/${path}`))
      expect({ path, body: plain(theirs?.body) }).toEqual({ path, body: plain(body) })
    }
  })

  it("refuses a field that the pipeline does not have", async () => {
    const wrong = join(folder, "wrong.yaml")
    writeFileSync(wrong, text("clouddeploy/pipeline.yaml").replace("verify: true", "verfy: true"))
    sent = []
    expect((await gcloud("deploy", "apply", `--file=${wrong}`, "--region=us-central1")).ok).toBe(false)
    expect(sent).toEqual([])
  })

  for (const file of readdirSync(repository).filter((name) => /^cloudbuild(\.\w+)?\.yaml$/.test(name))) {
    it(`accepts ${file}, with all its steps`, async () => {
      sent = []
      const { ok, said } = await gcloud(
        ...["builds", "submit", "--no-source", "--async", "--region=us-central1"],
        `--config=${join(repository, file)}`
      )
      expect(ok, said).toBe(true)
      const made = sent.find(({ method, path }) => method === "POST" && path.endsWith("/builds"))
      const ids = (steps: unknown) => (steps as ReadonlyArray<{ id: string }>).map(({ id }) => id)
      expect(ids(made?.body["steps"])).toEqual(ids(parse(text(file)).steps))
    })
  }
})
