#!/usr/bin/env node
/** The one command: `deliver VERB`. Wiring only; each verb stands in `cli/`. */
import { Cause, Effect, Exit, Layer, Option } from "effect"
import { ExitCode } from "../domain/ExitCode.ts"
import { release } from "../runtime/ImageRoot.ts"
import * as Logging from "../runtime/Logging.ts"
import { drillVerb } from "./cli/drill.ts"
import { drillRestoreVerb } from "./cli/drillRestore.ts"
import { enginePoisonedVerb, enginePruneVerb, engineRepairVerb } from "./cli/engine.ts"
import { eventsKeepVerb } from "./cli/events.ts"
import { evidenceVerb } from "./cli/evidence.ts"
import { gateManifestsVerb } from "./cli/gate-manifests.ts"
import { gateMigrationsVerb } from "./cli/gate-migrations.ts"
import { gateWorkflowsVerb } from "./cli/gate-workflows.ts"
import { imagesVerb } from "./cli/images.ts"
import { lintVerb } from "./cli/lint.ts"
import { migrateStatusVerb, migrateUpVerb } from "./cli/migrate.ts"
import { rehearseVerb } from "./cli/rehearse.ts"
import { releaseListVerb, releaseRecordVerb, releaseShowVerb } from "./cli/release.ts"
import { rollbackVerb } from "./cli/rollback.ts"
import { serveVerb } from "./cli/serve.ts"
import { surfaceDiffVerb, surfaceVerb } from "./cli/surface.ts"
import { tenantDeleteVerb, tenantExportVerb, tenantResumeVerb, tenantStatusVerb } from "./cli/tenant.ts"
import { pricesSetVerb, pricesVerb, usageVerb } from "./cli/usage.ts"
import { runVerb, type Verb } from "./cli/Verb.ts"

const verbs: ReadonlyArray<Verb> = [
  rehearseVerb,
  serveVerb,
  imagesVerb,
  surfaceVerb,
  surfaceDiffVerb,
  gateWorkflowsVerb,
  gateMigrationsVerb,
  gateManifestsVerb,
  lintVerb,
  migrateUpVerb,
  migrateStatusVerb,
  releaseRecordVerb,
  releaseListVerb,
  releaseShowVerb,
  rollbackVerb,
  evidenceVerb,
  usageVerb,
  pricesVerb,
  pricesSetVerb,
  enginePoisonedVerb,
  engineRepairVerb,
  enginePruneVerb,
  eventsKeepVerb,
  tenantExportVerb,
  tenantDeleteVerb,
  tenantResumeVerb,
  tenantStatusVerb,
  drillVerb,
  drillRestoreVerb
]

const main = Effect.gen(function* () {
  const argv = process.argv.slice(2)
  const outcome = yield* runVerb(verbs, argv)
  const output = argv.includes("--json") ? JSON.stringify(outcome.json, null, 2) : outcome.text
  if (output !== "") process.stdout.write(`${output}\n`)
  return outcome.exitCode
})

// As a job of a release it logs like the other pods; for a person at a terminal the outcome is what counts.
const logging =
  process.env["POD_NAME"] === undefined && process.env["CLOUD_DEPLOY_RELEASE"] === undefined
    ? Layer.empty
    : Logging.layer(Logging.fromEnv(process.env, release()))

const fiber = Effect.runFork(Effect.provide(main, logging))
const stop = () => fiber.unsafeInterruptAsFork(fiber.id())
process.once("SIGINT", stop)
process.once("SIGTERM", stop)
fiber.addObserver((exit) => {
  process.off("SIGINT", stop)
  process.off("SIGTERM", stop)
  if (Exit.isSuccess(exit)) {
    process.exitCode = exit.value
    return
  }
  const failure = Cause.failureOption(exit.cause)
  if (Option.isSome(failure)) {
    process.stderr.write(`${failure.value.message}\n`)
    process.exitCode = failure.value.exitCode
  } else if (Cause.isInterruptedOnly(exit.cause)) {
    process.stderr.write("Stopped. Everything that was started has been ended.\n")
    process.exitCode = 130
  } else {
    process.stderr.write(
      `deliver failed; this is a defect of deliver, not of your release.\n${Cause.pretty(exit.cause)}\n`
    )
    process.exitCode = ExitCode.toolFailed
  }
})
