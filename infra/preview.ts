/**
 * `make preview`: what every stack would make, without Google Cloud: counts, and violations of policies. `--docs` writes the pages that
 * are generated from it. Ends with 10 when a policy is violated.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { ExitCode } from "../src/domain/ExitCode.ts"
import { repository } from "./delivery.ts"
import { platformPage } from "./diagram.ts"
import { iamPage } from "./iam.ts"
import { environments } from "./names.ts"
import { writeComponent } from "./overlayComponent.ts"
import { violations } from "./policies.ts"
import { readEnvironment } from "./settings.ts"
import { captureAll, configOf } from "./testing/capture.ts"

if (process.argv.includes("--docs")) {
  // Every overlay needs its component before it renders.
  for (const environment of environments) {
    writeComponent(repository, environment, readEnvironment(environment, configOf(environment)))
  }
}
const stacks = await captureAll()
if (process.argv.includes("--docs")) {
  writeFileSync(join(repository, "docs", "iam.md"), iamPage(stacks))
  writeFileSync(join(repository, "docs", "platform.md"), platformPage(stacks))
}
for (const { project, resources, stack } of stacks) {
  process.stdout.write(`${`${project}/${stack}`.padEnd(24)} ${String(resources.length).padStart(4)} resources\n`)
}
const found = violations(stacks)
for (const { policy, what, where } of found) process.stdout.write(`${policy}: ${where} ${what}\n`)
process.stdout.write(`${found.length} violations of policies\n`)
process.exit(found.length === 0 ? ExitCode.passed : ExitCode.refused)
