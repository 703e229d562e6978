/**
 * The stacks through Pulumi's own engine, with providers that make nothing: what the engine itself refuses (a URN twice, a cycle, an output that
 * is missing), what it would do a second time, and what it writes into its state.
 *
 * Needs the CLI, and nothing else: state in a folder, a passphrase, two providers in a process of ours.
 */
import { type ChildProcess, execFileSync, spawn } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as automation from "@pulumi/pulumi/automation/index.js"
import type { Project } from "../contracts.ts"
import { environments, shared } from "../names.ts"
import { afterFirstBuild, configOf, order, programs } from "./capture.ts"

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
  /** Resources that the engine made, components and the stack included. */
  readonly created: number
  /** What a second preview would do, by operation, and each thing that it would change. */
  readonly again: Readonly<Record<string, number>>
  readonly changes: ReadonlyArray<string>
  /** The state as it is stored. */
  readonly state: string
}

const provider = (name: string): Promise<{ readonly child: ChildProcess; readonly port: string }> =>
  new Promise((resolve, reject) => {
    const child = spawn("node", [join(import.meta.dirname, "stubProvider.ts"), name, "127.0.0.1:0"], {
      stdio: ["ignore", "pipe", "inherit"]
    })
    child.stdout.once("data", (said: Buffer) => resolve({ child, port: said.toString().trim() }))
    child.once("exit", (code) => reject(new Error(`The provider ${name} ended with ${code} before it listened.`)))
  })

/** Deploys every stack of these environments into a state that is thrown away, and asks each for a second preview. */
export const deployAll = async (
  of: ReadonlyArray<string> = environments,
  tell: (line: string) => void = () => {}
): Promise<ReadonlyArray<Deployed>> => {
  const folder = mkdtempSync(join(tmpdir(), "engine-"))
  const providers = await Promise.all(["gcp", "kubernetes"].map(async (name) => ({ name, ...(await provider(name)) })))
  try {
    mkdirSync(join(folder, "state"))
    const envVars = {
      PULUMI_HOME: join(folder, "home"),
      PULUMI_BACKEND_URL: `file://${join(folder, "state")}`,
      PULUMI_CONFIG_PASSPHRASE: "of a state that is thrown away",
      PULUMI_SKIP_UPDATE_CHECK: "true",
      PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION: "true",
      PULUMI_AUTOMATION_API_SKIP_VERSION_CHECK: "true",
      PULUMI_DEBUG_PROVIDERS: providers.map(({ name, port }) => `${name}:${port}`).join(",")
    }
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
    for (const { child } of providers) child.kill()
    rmSync(folder, { recursive: true, force: true })
  }
}
