/**
 * The one reader of `clouddeploy/*.yaml`: the rehearsal carries out what it returns, and `infra/` creates it on Google Cloud.
 *
 * Strict, since the real tools are not: an unknown key, a reference to something that is not there, or a stage that would
 * deploy nothing is a mistake with file, line and way out, before anything has been done.
 */
import { readdirSync, readFileSync } from "node:fs"
import { basename, join } from "node:path"
import { Effect } from "effect"
import { nearest } from "../../domain/Nearest.ts"
import type { PhaseStrategy, StageStrategy } from "../rollout/Plan.ts"
import { DeliveryConfigInvalid } from "./Invalid.ts"
import { againstSkaffold, amongThemselves } from "./References.ts"
import { Automation, DeliveryPipeline, DeployPolicy, NOT_HONOURED, type Stage, Target } from "./Resources.ts"
import { readSkaffold, type SkaffoldConfig } from "./Skaffold.ts"
import { decodeStrictly, type Path, type Problem, parseYaml, type YamlDocument } from "./YamlFile.ts"

export { DeliveryConfigInvalid } from "./Invalid.ts"
export { readSkaffold, type SkaffoldConfig } from "./Skaffold.ts"

/** Says that the value at `path` of a resource is wrong, with its file and line. */
export type Complain = (kind: Kind, name: string, path: Path, message: string) => Problem

export interface DeliveryConfig {
  readonly pipelines: ReadonlyArray<DeliveryPipeline>
  readonly targets: ReadonlyArray<Target>
  readonly automations: ReadonlyArray<Automation>
  readonly policies: ReadonlyArray<DeployPolicy>
  readonly complain: Complain
}

export type Kind = "DeliveryPipeline" | "Target" | "Automation" | "DeployPolicy"
const KINDS: ReadonlyArray<Kind> = ["DeliveryPipeline", "Target", "Automation", "DeployPolicy"]

const kindOf = (value: unknown): unknown =>
  typeof value === "object" && value !== null && "kind" in value ? value.kind : undefined

const collect = (documents: ReadonlyArray<YamlDocument>) => {
  const problems: Array<Problem> = []
  const places = new Map<string, YamlDocument>()
  const pipelines: Array<DeliveryPipeline> = []
  const targets: Array<Target> = []
  const automations: Array<Automation> = []
  const policies: Array<DeployPolicy> = []

  const keep = <A extends { readonly kind: Kind; readonly metadata: { readonly name: string } }>(
    list: Array<A>,
    document: YamlDocument,
    decoded: { readonly value: A } | { readonly problems: ReadonlyArray<Problem> }
  ) => {
    if ("problems" in decoded) {
      problems.push(...decoded.problems)
      return
    }
    const { kind, metadata } = decoded.value
    const key = `${kind}/${metadata.name}`
    const first = places.get(key)
    if (first !== undefined) {
      problems.push(
        document.problem(
          ["metadata", "name"],
          `${kind} "${metadata.name}" stands already in ${first.file}:${first.line([])}`
        )
      )
      return
    }
    places.set(key, document)
    list.push(decoded.value)
  }

  for (const document of documents) {
    const kind = kindOf(document.value)
    switch (kind) {
      case "DeliveryPipeline":
        keep(pipelines, document, decodeStrictly(document, DeliveryPipeline, NOT_HONOURED))
        break
      case "Target":
        keep(targets, document, decodeStrictly(document, Target, NOT_HONOURED))
        break
      case "Automation":
        keep(automations, document, decodeStrictly(document, Automation, NOT_HONOURED))
        break
      case "DeployPolicy":
        keep(policies, document, decodeStrictly(document, DeployPolicy, NOT_HONOURED))
        break
      default: {
        const hint = typeof kind === "string" ? nearest(kind, KINDS) : undefined
        problems.push(
          document.problem(
            ["kind"],
            kind === undefined
              ? `has no kind. Known: ${KINDS.join(", ")}.`
              : `"${String(kind)}" is no kind that belongs here.${hint === undefined ? ` Known: ${KINDS.join(", ")}.` : ` Did you mean ${hint}?`}`
          )
        )
      }
    }
  }
  const complain: Complain = (kind, name, path, message) =>
    places.get(`${kind}/${name}`)?.problem(path, message) ?? { file: "clouddeploy", line: 1, path: "", message }
  return { problems, config: { pipelines, targets, automations, policies, complain } satisfies DeliveryConfig }
}

/** Reads every `*.yaml` of the folder and checks the references among them. */
export const readDeliveryConfig = (folder: string): Effect.Effect<DeliveryConfig, DeliveryConfigInvalid> =>
  Effect.gen(function* () {
    const label = basename(folder)
    const texts = yield* Effect.try({
      try: () =>
        readdirSync(folder)
          .filter((name) => name.endsWith(".yaml"))
          .sort()
          .map((name) => ({ file: `${label}/${name}`, text: readFileSync(join(folder, name), "utf8") })),
      catch: () =>
        DeliveryConfigInvalid.of([{ file: label, line: 1, path: "", message: `${folder} can't be read. Is it there?` }])
    })
    const parsed = texts.map(({ file, text }) => parseYaml(file, text))
    const { problems, config } = collect(parsed.flatMap(({ documents }) => documents))
    const all = [...parsed.flatMap((file) => file.problems), ...problems]
    if (all.length === 0 && config.pipelines.length === 0) {
      all.push({ file: label, line: 1, path: "", message: "holds no DeliveryPipeline" })
    }
    // References are checked only among resources that could be read: one mistake should not be reported as five.
    if (all.length === 0) all.push(...amongThemselves(config))
    if (all.length > 0) return yield* DeliveryConfigInvalid.of(all)
    return config
  })

export interface Delivery extends DeliveryConfig {
  readonly skaffold: SkaffoldConfig
}

/** `clouddeploy/` and `skaffold.yaml` of a repository (or of a release's snapshot), checked against one another. */
export const readDelivery = (root: string): Effect.Effect<Delivery, DeliveryConfigInvalid> =>
  Effect.gen(function* () {
    const config = yield* readDeliveryConfig(join(root, "clouddeploy"))
    const skaffold = yield* readSkaffold(join(root, "skaffold.yaml"))
    const problems = againstSkaffold(config, skaffold)
    if (problems.length > 0) return yield* DeliveryConfigInvalid.of(problems)
    return { ...config, skaffold }
  })

/** A stage as the rollout plan wants it: its phases in order, a standard strategy being the one phase `stable`. */
export const strategyOf = (stage: Stage): StageStrategy => {
  const canary = stage.strategy?.canary?.customCanaryDeployment.phaseConfigs
  const fenced = canary ?? [{ phaseId: "stable", profiles: [], ...stage.strategy?.standard }]
  return {
    targetId: stage.targetId,
    phases: fenced.map(
      (phase): PhaseStrategy => ({
        phaseId: phase.phaseId,
        profiles: [...(stage.profiles ?? []), ...(phase.profiles ?? [])],
        predeploy: phase.predeploy?.actions ?? [],
        verify: phase.verify ?? false,
        postdeploy: phase.postdeploy?.actions ?? []
      })
    )
  }
}
