/** The pack as the engine loads it: Pulumi's own loader in a process of its own, asked over gRPC. */
import { type ChildProcess, spawn } from "node:child_process"
import { createRequire } from "node:module"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { grantPolicies, policies } from "../policies.ts"
import { type Captured, captureAll } from "../testing/capture.ts"
import { made, mistakes } from "../testing/mistakes.ts"

interface Diagnostic {
  readonly getPolicyname: () => string
  readonly getMessage: () => string
}
interface Answer {
  readonly getDiagnosticsList: () => ReadonlyArray<Diagnostic>
  readonly getPoliciesList: () => ReadonlyArray<{ readonly getName: () => string }>
}
type Ask = (request: object, callback: (error: Error | null, answer: Answer) => void) => void
type Client = Readonly<Record<"analyze" | "analyzeStack" | "getAnalyzerInfo", Ask>> & { readonly close: () => void }

const require = createRequire(import.meta.url)
const grpc = require("@grpc/grpc-js")
const { AnalyzerClient } = require("@pulumi/pulumi/proto/analyzer_grpc_pb.js")
const messages = require("@pulumi/pulumi/proto/analyzer_pb.js")
const { Struct } = require("google-protobuf/google/protobuf/struct_pb.js")
const { Empty } = require("google-protobuf/google/protobuf/empty_pb.js")

let pack: ChildProcess
let client: Client
let resources: ReadonlyArray<Captured>

beforeAll(async () => {
  resources = (await captureAll(["prod"])).flatMap((stack) => stack.resources)
  pack = spawn("node", [require.resolve("@pulumi/pulumi/cmd/run-policy-pack"), "127.0.0.1:0", import.meta.dirname], {
    stdio: ["ignore", "pipe", "inherit"]
  })
  const port = await new Promise<string>((resolve, reject) => {
    pack.stdout!.once("data", (said: Buffer) => resolve(said.toString().trim()))
    pack.once("exit", (code) =>
      reject(new Error(`The policy pack ended with ${code} before it said where it listens.`))
    )
  })
  client = new AnalyzerClient(`127.0.0.1:${port}`, grpc.credentials.createInsecure()) as Client
})
afterAll(() => {
  client?.close()
  pack?.kill()
})

const ask = (method: "analyze" | "analyzeStack" | "getAnalyzerInfo", request: object) =>
  new Promise<Answer>((resolve, reject) =>
    client[method](request, (error, answer) => (error === null ? resolve(answer) : reject(error)))
  )

type Judged = Pick<Captured, "type" | "name" | "inputs" | "protect">

const filled = <Request extends object>(request: Request, { inputs, name, protect, type }: Judged): Request => {
  const options = new messages.AnalyzerResourceOptions()
  options.setProtect(protect)
  const fields = request as unknown as Record<string, (value: unknown) => void>
  fields["setType"]!(type)
  fields["setName"]!(name)
  fields["setUrn"]!(`urn:pulumi:prod::agents::${type}::${name}`)
  fields["setProperties"]!(Struct.fromJavaScript(inputs))
  fields["setOptions"]!(options)
  return request
}

const judge = async (resource: Judged) => {
  const answer = await ask("analyze", filled(new messages.AnalyzeRequest(), resource))
  return answer.getDiagnosticsList().map((one) => one.getPolicyname())
}

const judgeStack = async (all: ReadonlyArray<Judged>) => {
  const request = new messages.AnalyzeStackRequest()
  request.setResourcesList(all.map((one) => filled(new messages.AnalyzerResource(), one)))
  const answer = await ask("analyzeStack", request)
  return answer.getDiagnosticsList().map((one) => one.getPolicyname())
}

describe("the policy pack", () => {
  it("hands the engine every policy", async () => {
    const answer = await ask("getAnalyzerInfo", new Empty())
    expect(answer.getPoliciesList().map((one) => one.getName())).toEqual(
      [...policies, ...grantPolicies].map(({ name }) => name)
    )
  })

  it("finds nothing wrong with what the stacks make", async () => {
    expect(resources.length).toBeGreaterThan(150)
    for (const resource of resources) expect(await judge(resource), resource.name).toEqual([])
    expect(await judgeStack(resources)).toEqual([])
  })

  for (const mistake of mistakes.filter(({ by }) => !["schema", "provider"].includes(by))) {
    it(`refuses ${mistake.what}`, async () => {
      const { inputs, resource } = made(resources, mistake)
      expect(await judge({ ...resource, inputs })).toContain(mistake.by)
    })
  }

  it("refuses a key that a stack may destroy, and a key of an account", async () => {
    const key = resources.find(({ type }) => type.includes("kms/cryptoKey:"))!
    expect(await judge({ ...key, protect: false })).toContain("protected-keys")
    expect(await judge({ ...key, type: "gcp:serviceaccount/key:Key" })).toContain("no-keys")
  })

  for (const [account, role, by] of [
    ["agents-deployer-prod", "roles/secretmanager.secretAccessor", "deployer-reads-no-secrets"],
    ["agents-checker", "roles/artifactregistry.writer", "pull-requests-change-nothing"]
  ] as const) {
    it(`refuses ${role} for ${account}`, async () => {
      const grant = resources.find(
        ({ inputs, type }) => /IAMMember/.test(type) && String(inputs["member"]).includes(`${account}@`)
      )!
      expect(await judgeStack([{ ...grant, inputs: { ...grant.inputs, role } }])).toEqual([by])
    })
  }
})
