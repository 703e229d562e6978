/** Providers as processes that Pulumi's engine attaches to: ours that make nothing, and Google's own where it is installed. */
import { type ChildProcess, spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { homedir } from "node:os"
import { delimiter, join } from "node:path"

/** Google's own provider, if it is on this machine: on the PATH, or where `pulumi plugin install` puts the version that the SDK asks for. */
export const googles = (): string | undefined => {
  const { version } = createRequire(import.meta.url)("@pulumi/gcp/package.json") as { readonly version: string }
  const home = process.env["PULUMI_HOME"] ?? join(homedir(), ".pulumi")
  return [...(process.env["PATH"] ?? "").split(delimiter), join(home, "plugins", `resource-gcp-v${version}`)]
    .map((folder) => join(folder, "pulumi-resource-gcp"))
    .find((file) => existsSync(file))
}

export interface Provider {
  readonly name: string
  readonly child: ChildProcess
  readonly port: string
}

/** Starts what prints the port that it listens on. */
export const provider = (name: string, command: string, args: ReadonlyArray<string>): Promise<Provider> =>
  new Promise((resolve, reject) => {
    const child = spawn(command, [...args, "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"], env: offline })
    child.stdout.once("data", (said: Buffer) => resolve({ name, child, port: said.toString().trim() }))
    child.once("exit", (code) => reject(new Error(`The provider ${name} ended with ${code} before it listened.`)))
  })

/** Google's provider wants a token and looks regions up. With these it does neither at a preview. */
const offline = { ...process.env, GOOGLE_OAUTH_ACCESS_TOKEN: "none", PULUMI_GCP_SKIP_REGION_VALIDATION: "true" }

export const stub = (name: string) => provider(name, "node", [join(import.meta.dirname, "stubProvider.ts"), name])

/** For PULUMI_DEBUG_PROVIDERS. */
export const inPlace = (providers: ReadonlyArray<Provider>) =>
  providers.map(({ name, port }) => `${name}:${port}`).join(",")
