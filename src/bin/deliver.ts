#!/usr/bin/env node
/** The one command: `deliver VERB`. Wiring only; each verb stands in `cli/`. */
import { setPriority } from "node:os"
import { Effect, Layer } from "effect"
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
import { run } from "./run.ts"

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

/** A gate can wait, and whoever works on the same machine can't. In its Job it has a processor of its own, whatever this says. */
const NICE = 19

const main = Effect.gen(function* () {
  const argv = process.argv.slice(2)
  if (argv[0] === "gate") yield* Effect.ignore(Effect.try(() => setPriority(NICE)))
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

run(Effect.provide(main, logging))
