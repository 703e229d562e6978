/** Runs the stacks' programs under Pulumi's mocks and returns what they would create. */
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import * as pulumi from "@pulumi/pulumi"
import { parse } from "yaml"
import { type Project, stackName } from "../contracts.ts"
import { environments, shared } from "../names.ts"
import { computed } from "./computed.ts"

export interface Captured {
  /** `gcp:clouddeploy/target:Target`. */
  readonly type: string
  readonly name: string
  readonly inputs: Readonly<Record<string, unknown>>
  /** The resource option: `pulumi destroy` stops there. */
  readonly protect: boolean
  /** Paths of inputs that are secrets: `password`, `stringData`. */
  readonly secrets: ReadonlyArray<string>
  /** `Database prod`: the component it belongs to. Empty at the top. */
  readonly parent: string
  /** Types and names of what it is made after, because it uses their outputs or says so. */
  readonly dependencies: ReadonlyArray<string>
}

export interface CapturedStack {
  readonly project: Project
  readonly stack: string
  /** Without components and references to other stacks. */
  readonly resources: ReadonlyArray<Captured>
  readonly components: ReadonlyArray<Pick<Captured, "type" | "name" | "parent">>
  readonly outputs: Readonly<Record<string, unknown>>
}

const SECRET = "4dabf18193072939515e22adb298388d"
const SECRET_VALUE = "1b47061264138c4ac30d75fd1eb44270"

/** Secrets arrive wrapped: the wrapping is taken off, and where it was is written down. */
const unwrap = (value: unknown, path: string, secrets: Array<string>): unknown => {
  if (Array.isArray(value)) return value.map((item, i) => unwrap(item, `${path}[${i}]`, secrets))
  if (typeof value !== "object" || value === null) return value
  if (SECRET in value && value[SECRET] === SECRET_VALUE && "value" in value) {
    secrets.push(path)
    return unwrap(value.value, path, secrets)
  }
  return Object.fromEntries(
    Object.entries(value).map(([key, field]) => [key, unwrap(field, path === "" ? key : `${path}.${key}`, secrets)])
  )
}

const folder = resolve(import.meta.dirname, "..")

/** What the file of a stack says, as Pulumi hands it to programs. */
export const configOf = (stack: string, from = folder): Record<string, string> => {
  const file = parse(readFileSync(join(from, `Pulumi.${stack}.yaml`), "utf8")) as {
    readonly config: Readonly<Record<string, unknown>>
  }
  return Object.fromEntries(
    Object.entries(file.config).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)])
  )
}

/** As after the first build: the edge has an image, the attestor its key, and costs are exported. */
export const EDGE_IMAGE = `us-central1-docker.pkg.dev/effect-agents-example/agents/agents@sha256:${"0".repeat(64)}`

const PUBLIC_KEY = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"

export const afterFirstBuild = (stack: string, config: Record<string, string>): Record<string, string> =>
  stack === shared
    ? { ...config, "agents:attestorKey": PUBLIC_KEY }
    : {
        ...config,
        "agents:billingTable": "gcp_billing_export_v1_000000_000000_000000",
        "agents:edge": JSON.stringify({ ...(JSON.parse(config["agents:edge"] ?? "{}") as object), image: EDGE_IMAGE })
      }

type Asked = Pick<Captured, "protect" | "parent" | "dependencies">

/** The mocks are not told of resource options. The request to the engine has them. */
interface RegisterRequest {
  readonly getType: () => string
  readonly getName: () => string
  readonly getProtect: () => boolean
  readonly getParent: () => string
  readonly getDependenciesList: () => ReadonlyArray<string>
}
interface Monitor {
  registerResource: (request: RegisterRequest, callback: unknown) => unknown
}

/** `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME` to `TYPE::NAME`. */
const short = (urn: string): string => {
  const [, , type, name] = urn.split("::")
  return name === undefined ? "" : `${type?.split("$").at(-1)}::${name}`
}

const listen = (asked: Map<string, Asked>) => {
  const monitor = pulumi.runtime.getMonitor() as unknown as Monitor
  const register = monitor.registerResource.bind(monitor)
  monitor.registerResource = (request, callback) => {
    asked.set(`${request.getType()}::${request.getName()}`, {
      protect: request.getProtect(),
      parent: short(request.getParent()),
      dependencies: request.getDependenciesList().map(short)
    })
    return register(request, callback)
  }
}

type Program = (stack: string) => Promise<Record<string, unknown>> | Record<string, unknown>

export const programs: Readonly<Record<Project, () => Promise<{ readonly program: Program }>>> = {
  foundation: () => import("../stacks/foundation/program.ts"),
  delivery: () => import("../stacks/delivery/program.ts"),
  platform: () => import("../stacks/platform/program.ts"),
  observe: () => import("../stacks/observe/program.ts")
}

const settled = <A>(value: pulumi.Input<A>): Promise<A> =>
  new Promise((resolve) => pulumi.output(value).apply((known) => resolve(known as A)))

/** One stack. `others` holds the outputs of the stacks that it reads, by full name. */
export const captureStack = async (
  project: Project,
  stack: string,
  others: Readonly<Record<string, unknown>> = {},
  config: Readonly<Record<string, string>> = afterFirstBuild(stack, configOf(stack))
): Promise<CapturedStack> => {
  const resources: Array<Captured> = []
  const asked = new Map<string, Asked>()
  const components: Array<Pick<Captured, "type" | "name" | "parent">> = []
  const mocks = {
    newResource: ({ type, name, inputs, id }: pulumi.runtime.MockResourceArgs) => {
      if (type === "pulumi:pulumi:StackReference") {
        return { id: name, state: { name, outputs: others[name] ?? {}, secretOutputNames: [] } }
      }
      if (type.startsWith("agents:")) {
        components.push({ type, name, parent: asked.get(`${type}::${name}`)!.parent })
        return { id: "", state: inputs }
      }
      const secrets: Array<string> = []
      const plain = unwrap(inputs, "", secrets) as Record<string, unknown>
      resources.push({
        type,
        name,
        inputs: plain,
        secrets,
        ...asked.get(`${type}::${name}`)!
      })
      const known = computed(type, name, plain)
      return {
        id: String(known["id"] ?? (id === undefined || id === "" ? `${name}-id` : id)),
        state: { ...inputs, ...known }
      }
    },
    call: ({ token }: pulumi.runtime.MockCallArgs): never => {
      throw new Error(`The program looks up ${token}. A preview must work without the network.`)
    }
  }
  await pulumi.runtime.setMocks(mocks, `agents-${project}`, stack, false)
  listen(asked)
  pulumi.runtime.setAllConfig({ ...config })
  const { program } = await programs[project]()
  const outputs = await program(stack)
  const values = await Promise.all(Object.entries(outputs).map(async ([key, value]) => [key, await settled(value)]))
  await pulumi.runtime.disconnect()
  return { project, stack, resources, components, outputs: Object.fromEntries(values) as Record<string, unknown> }
}

/** In the order in which they are deployed: each finds the outputs that it reads. */
export const order: ReadonlyArray<readonly [Project, "shared" | "environment"]> = [
  ["foundation", "shared"],
  ["delivery", "shared"],
  ["foundation", "environment"],
  ["delivery", "environment"],
  ["platform", "environment"],
  ["observe", "environment"],
  ["observe", "shared"]
]

/** All stacks of these environments, one after the other: the mocks are the process's own. */
export const captureAll = async (
  of: ReadonlyArray<string> = environments,
  config?: (stack: string) => Readonly<Record<string, string>>
): Promise<ReadonlyArray<CapturedStack>> => {
  const captured: Array<CapturedStack> = []
  const outputs: Record<string, unknown> = {}
  for (const [project, kind] of order) {
    for (const stack of kind === "shared" ? [shared] : of) {
      const one = await captureStack(project, stack, outputs, config?.(stack))
      captured.push(one)
      outputs[stackName(project, stack)] = one.outputs
    }
  }
  return captured
}
