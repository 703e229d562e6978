/**
 * The stacks through Pulumi's own engine, with providers that make nothing: what the engine itself refuses (a URN twice, a cycle, an output that
 * is missing), what it would do a second time, and what it writes into its state.
 *
 * Needs the CLI, and nothing else: state in a folder, a passphrase, two providers in a process of ours. Where Google's own provider is on the
 * PATH or among Pulumi's plugins (`pulumi plugin install resource gcp`), it is asked first: it checks and plans every resource, offline.
 */
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as pulumi from "@pulumi/pulumi"
import * as automation from "@pulumi/pulumi/automation/index.js"
import type { Project } from "../contracts.ts"
import { environments, shared } from "../names.ts"
import { afterFirstBuild, configOf, order, programs } from "./capture.ts"
import type { Case } from "./others.ts"
import { googles, inPlace, type Provider, provider, stub } from "./providers.ts"

export const cli = (): string | undefined => {
  try {
    execFileSync("pulumi", ["version"], { stdio: "ignore", env: { ...process.env, PULUMI_SKIP_UPDATE_CHECK: "true" } })
    return "pulumi"
  } catch {
    return undefined
  }
}

export interface Deployed {
  readonly project: Project
  readonly stack: string
  /** Resources of Google's that its own provider checked and planned before anything was made. Absent where it is not on this machine. */
  readonly planned: number | undefined
  /** Resources that the engine made, components and the stack included. */
  readonly created: number
  /** What a second preview would do, by operation, and each thing that it would change. */
  readonly again: Readonly<Record<string, number>>
  readonly changes: ReadonlyArray<string>
  /** The state as it is stored. */
  readonly state: string
}

/** A state in this folder, and these providers in place of installed ones. */
const engineVars = (folder: string, providers: ReadonlyArray<Provider>) => ({
  PULUMI_HOME: join(folder, "home"),
  PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
  PULUMI_CONFIG_PASSPHRASE: "of a state that is thrown away",
  PULUMI_SKIP_UPDATE_CHECK: "true",
  PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
  PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK: "true",
  PULUMI_DEBUG_PROVIDERS: inPlace(providers)
})

/** A preview of a stack that nobody made yet, by other providers. */
const plan = async (stack: automation.Stack, providers: ReadonlyArray<Provider>) => {
  const { envVars } = stack.workspace
  stack.workspace.envVars = { ...envVars, PULUMI_DEBUG_PROVIDERS: inPlace(providers) }
  let resources = 0
  try {
    await stack.preview({
      onEvent: ({ resourcePreEvent }) => {
        if (resourcePreEvent?.metadata.type.startsWith("gcp:") === true) resources += 1
      }
    })
  } finally {
    stack.workspace.envVars = envVars
  }
  return resources
}

class AnyResource extends pulumi.CustomResource {}

/**
 * What Google's provider says to a resource with a mistake, made alone in a stack of its own; undefined where it takes it. `right` is what it says
 * to all the resources as they are.
 */
export const refusedByGoogles = async (
  google: string,
  cases: ReadonlyArray<Case>
): Promise<{ readonly right: string | undefined; readonly wrong: ReadonlyArray<string | undefined> }> => {
  const folder = mkdtempSync(join(tmpdir(), "googles-"))
  const real = await provider("gcp", google, [])
  try {
    mkdirSync(join(folder, "state"))
    const asked = async (name: string, made: ReadonlyArray<Case>) => {
      const program = async () => {
        made.forEach(({ inputs, resource }, i) => new AnyResource(resource.type, `${resource.name}-${i}`, inputs))
      }
      const stack = await automation.LocalWorkspace.createStack(
        { projectName: "mistakes", stackName: name, program },
        { workDir: mkdtempSync(join(folder, "work-")), envVars: engineVars(folder, [real]) }
      )
      await stack.setConfig("gcp:project", { value: "effect-agents-example" })
      return stack.preview().then(
        () => undefined,
        (error: unknown) => String(error)
      )
    }
    const right = await asked(
      "right",
      cases.map(({ resource }) => ({ resource, inputs: resource.inputs }))
    )
    const wrong: Array<string | undefined> = []
    for (const [i, one] of cases.entries()) wrong.push(await asked(`wrong-${i}`, [one]))
    return { right, wrong }
  } finally {
    real.child.kill()
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Deploys every stack of these environments into a state that is thrown away, and asks each for a second preview. */
export const deployAll = async (
  of: ReadonlyArray<string> = environments,
  tell: (line: string) => void = () => {}
): Promise<ReadonlyArray<Deployed>> => {
  const folder = mkdtempSync(join(tmpdir(), "engine-"))
  const [gcp, kubernetes] = await Promise.all([stub("gcp"), stub("kubernetes")])
  const google = googles()
  const real = google === undefined ? undefined : await provider("gcp", google, [])
  try {
    mkdirSync(join(folder, "state"))
    const envVars = engineVars(folder, [gcp, kubernetes])
    const deployed: Array<Deployed> = []
    for (const [project, kind] of order) {
      for (const name of kind === "shared" ? [shared] : of) {
        const { program } = await programs[project]()
        const stack = await automation.LocalWorkspace.createStack(
          { projectName: `agents-${project}`, stackName: name, program: async () => program(name) },
          { workDir: mkdtempSync(join(folder, "work-")), envVars }
        )
        const config = afterFirstBuild(name, configOf(name))
        await stack.setAllConfig(Object.fromEntries(Object.entries(config).map(([key, value]) => [key, { value }])))
        const planned = real === undefined ? undefined : await plan(stack, [real, kubernetes])
        const { summary } = await stack.up({ suppressOutputs: true, parallel: 16 })
        const changes: Array<string> = []
        const again = await stack.preview({
          onEvent: ({ resourcePreEvent }) => {
            const metadata = resourcePreEvent?.metadata
            if (metadata !== undefined && metadata.op !== "same" && metadata.op !== "read") {
              changes.push(
                `${metadata.op} ${metadata.urn.split("::").slice(2).join(" ")} ${metadata.diffs?.join() ?? ""}`
              )
            }
          }
        })
        deployed.push({
          project,
          stack: name,
          planned,
          created: summary.resourceChanges?.["create"] ?? 0,
          changes,
          again: again.changeSummary as Readonly<Record<string, number>>,
          state: JSON.stringify((await stack.exportStack()).deployment)
        })
        tell(`${project}/${name}`)
      }
    }
    return deployed
  } finally {
    for (const started of [gcp, kubernetes, real]) started?.child.kill()
    rmSync(folder, { recursive: true, force: true })
  }
}
