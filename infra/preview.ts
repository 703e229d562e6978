/**
 * `make preview`: what every stack would make, without Google Cloud: counts, and violations of policies. Where the Pulumi CLI is there, its
 * engine deploys them all into a state that is thrown away, with providers that make nothing. `--docs` writes the pages that are generated
 * from it. Ends with 10 when a policy is violated, or when the engine would change something the second time.
 */
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import { ExitCode } from "../src/domain/ExitCode.ts"
import { writeDelivery } from "./deliveredTo.ts"
import { repository } from "./delivery.ts"
import { platformPage } from "./diagram.ts"
import { iamPage } from "./iam.ts"
import { environments } from "./names.ts"
import { writeComponent } from "./overlayComponent.ts"
import { violations } from "./policies.ts"
import { readEnvironment } from "./settings.ts"
import { captureAll, configOf } from "./testing/capture.ts"
import { cli, deployAll } from "./testing/engine.ts"
import { googles } from "./testing/providers.ts"

if (process.argv.includes("--docs")) {
  // Every overlay needs its component before it renders.
  for (const environment of environments) {
    writeComponent(repository, environment, readEnvironment(environment, configOf(environment)))
  }
  writeDelivery(
    repository,
    environments.filter((environment) => readEnvironment(environment, configOf(environment)).delivered)
  )
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
let changes = 0
if (process.argv.includes("--docs")) {
  // The pages come from the mocks.
} else if (cli() === undefined) {
  process.stdout.write("The Pulumi CLI is not on this machine: its engine was not asked.\n")
} else {
  const deployed = await deployAll(environments, (line) => process.stdout.write(`engine: ${line}\n`))
  for (const one of deployed)
    for (const change of one.changes) process.stdout.write(`${one.project}/${one.stack} would ${change}\n`)
  changes = deployed.reduce((sum, one) => sum + one.changes.length, 0)
  const made = deployed.reduce((sum, one) => sum + one.created, 0)
  if (googles() === undefined) {
    process.stdout.write("Google's own provider is not on this machine: it was not asked.\n")
  } else {
    const planned = deployed.reduce((sum, one) => sum + (one.planned ?? 0), 0)
    process.stdout.write(`Google's own provider planned ${planned} resources and refused none.\n`)
  }
  process.stdout.write(
    `engine: ${made} resources and components in ${deployed.length} stacks, ${changes} changes the second time\n`
  )
}
process.exit(found.length + changes === 0 ? ExitCode.passed : ExitCode.refused)
