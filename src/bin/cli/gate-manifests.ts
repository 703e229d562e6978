/** `deliver gate manifests`: renders every phase of the pipeline and judges what would be applied. */
import { resolve } from "node:path"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { CliError, type Verb } from "./Verb.ts"

const failed = (exitCode: ExitCode) => (error: { readonly message: string }) =>
  new CliError({ exitCode, message: error.message })

const load = Effect.all({
  Evidence: Effect.promise(() => import("../../gates/Evidence.ts")),
  ManifestGate: Effect.promise(() => import("../../gates/manifests/ManifestGate.ts")),
  DeliveryConfig: Effect.promise(() => import("../../rehearsal/clouddeploy/DeliveryConfig.ts")),
  DeliverySet: Effect.promise(() => import("../../rehearsal/clouddeploy/DeliverySet.ts")),
  Tools: Effect.promise(() => import("../../rehearsal/Tools.ts"))
})

export const gateManifestsVerb: Verb = {
  name: "gate manifests",
  summary: "Would the manifests deliver what they seem to? Renders every phase of the pipeline",
  example: "deliver gate manifests",
  flags: {
    root: { type: "string", value: "DIR", description: "the folder of skaffold.yaml (default: here)", default: "." }
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { Evidence, ManifestGate, DeliveryConfig, DeliverySet, Tools } = yield* load
      const startedAt = new Date()
      const root = resolve(String(args.flags["root"]))
      const tools = yield* Effect.mapError(Tools.locate(root), failed(ExitCode.preconditionMissing))
      const delivery = yield* Effect.mapError(DeliveryConfig.readDelivery(root), failed(ExitCode.refused))
      const set = yield* Effect.mapError(
        DeliverySet.collect(root, tools.kustomize, delivery),
        failed(ExitCode.toolFailed)
      )
      const evidence = yield* ManifestGate.judge(set, { release: "work tree", startedAt })
      return {
        exitCode: Evidence.exitCodeOf(evidence.verdict),
        text: Evidence.toText(evidence),
        json: Evidence.toJson(evidence)
      }
    })
}
