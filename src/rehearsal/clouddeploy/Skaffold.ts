/**
 * `skaffold.yaml`, as far as Cloud Deploy uses it: profiles, hooks, verify, label rules.
 *
 * Skaffold itself finds a missing `jobManifestPath` only when the hook runs, in the middle of a rollout. Here it is found first.
 */
import { existsSync, readFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { Effect, Schema } from "effect"
import { DeliveryConfigInvalid } from "./Invalid.ts"
import { decodeStrictly, maybe, type NotHonoured, type Problem, parseYaml, type YamlDocument } from "./YamlFile.ts"

const NOT_HONOURED: NotHonoured = {
  deny: "It silently leaves images unsubstituted; list what may have labels under `allow`.",
  helm: "Manifests are made by kustomize.",
  rawYaml: "Manifests are made by kustomize.",
  kpt: "Manifests are made by kustomize.",
  hooks: "Lifecycle hooks silently do nothing in Cloud Deploy; use customActions.",
  activation: "A profile is chosen by its stage.",
  patches: "Write the difference as a kustomize overlay.",
  requires: "One file describes the delivery.",
  local: "Hooks run in the target's cluster: the database is private."
}

const Texts = Schema.Array(Schema.String)

const Container = Schema.Struct({
  name: Schema.String,
  image: Schema.String,
  command: maybe(Texts),
  args: maybe(Texts),
  env: maybe(Schema.Array(Schema.Struct({ name: Schema.String, value: Schema.String })))
})

const ExecutionMode = Schema.Struct({
  kubernetesCluster: Schema.Struct({ jobManifestPath: Schema.String })
})

/** A hook. Its containers run in parallel, each as a Job that is named after it. */
const CustomAction = Schema.Struct({
  name: Schema.String,
  /** Seconds. */
  timeout: Schema.Int.pipe(Schema.positive()),
  failFast: maybe(Schema.Boolean),
  executionMode: ExecutionMode,
  containers: Schema.NonEmptyArray(Container)
})
export type CustomAction = typeof CustomAction.Type

const VerifyTest = Schema.Struct({
  name: Schema.String,
  /** Seconds. */
  timeout: Schema.Int.pipe(Schema.positive()),
  executionMode: ExecutionMode,
  container: Container
})
export type VerifyTest = typeof VerifyTest.Type

const Profile = Schema.Struct({
  name: Schema.String,
  manifests: Schema.Struct({ kustomize: Schema.Struct({ paths: Schema.NonEmptyArray(Schema.String) }) })
})
export type Profile = typeof Profile.Type

const Artifact = Schema.Struct({
  image: Schema.String,
  context: maybe(Schema.String),
  docker: maybe(Schema.Struct({ dockerfile: maybe(Schema.String) }))
})

const ResourceRule = Schema.Struct({
  /** `StatefulSet.apps`. */
  groupKind: Schema.String,
  image: maybe(Texts),
  labels: maybe(Texts)
})
export type ResourceRule = typeof ResourceRule.Type

export const SkaffoldConfig = Schema.Struct({
  apiVersion: Schema.String.pipe(
    Schema.pattern(/^skaffold\/v\d/, { message: () => "must be a Skaffold schema version" })
  ),
  kind: Schema.Literal("Config"),
  metadata: maybe(Schema.Struct({ name: Schema.String })),
  build: Schema.Struct({ artifacts: Schema.NonEmptyArray(Artifact) }),
  profiles: Schema.NonEmptyArray(Profile),
  deploy: Schema.Struct({
    kubectl: maybe(Schema.Struct({})),
    statusCheckDeadlineSeconds: Schema.Int.pipe(Schema.positive()),
    tolerateFailuresUntilDeadline: maybe(Schema.Boolean)
  }),
  resourceSelector: maybe(Schema.Struct({ allow: Schema.Array(ResourceRule) })),
  customActions: Schema.optionalWith(Schema.Array(CustomAction), { default: () => [] }),
  verify: Schema.optionalWith(Schema.Array(VerifyTest), { default: () => [] })
})
export type SkaffoldConfig = typeof SkaffoldConfig.Type

const duplicates = (names: ReadonlyArray<string>): ReadonlyArray<readonly [number, string]> =>
  names.flatMap((name, i) => (names.indexOf(name) < i ? [[i, name] as const] : []))

/** The names of the containers in a Job template; nothing when the file is no Job. */
const containersOf = (path: string): ReadonlyArray<string> | undefined => {
  const { documents, problems } = parseYaml(path, readFileSync(path, "utf8"))
  if (problems.length > 0 || documents.length !== 1) return undefined
  const Job = Schema.Struct({
    kind: Schema.Literal("Job"),
    spec: Schema.Struct({
      template: Schema.Struct({
        spec: Schema.Struct({ containers: Schema.Array(Schema.Struct({ name: Schema.String })) })
      })
    })
  })
  const job = Schema.decodeUnknownOption(Job)(documents[0]!.value)
  return job._tag === "None" ? undefined : job.value.spec.template.spec.containers.map(({ name }) => name)
}

const checkFiles = (config: SkaffoldConfig, document: YamlDocument, folder: string): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const complain = (path: ReadonlyArray<PropertyKey>, message: string) => problems.push(document.problem(path, message))

  const names = {
    profiles: config.profiles.map(({ name }) => name),
    customActions: config.customActions.map(({ name }) => name),
    verify: config.verify.map(({ name }) => name)
  }
  for (const [section, list] of Object.entries(names)) {
    for (const [i, name] of duplicates(list)) complain([section, i, "name"], `"${name}" is there twice`)
  }
  for (const [i, profile] of config.profiles.entries()) {
    for (const [j, path] of profile.manifests.kustomize.paths.entries()) {
      if (!existsSync(join(folder, path, "kustomization.yaml"))) {
        complain(["profiles", i, "manifests", "kustomize", "paths", j], `${path}/kustomization.yaml does not exist`)
      }
    }
  }
  const hooks = [
    ...config.customActions.flatMap((action, i) =>
      action.containers.map((container, j) => ({
        container,
        job: action.executionMode.kubernetesCluster.jobManifestPath,
        at: ["customActions", i],
        containerAt: ["customActions", i, "containers", j]
      }))
    ),
    ...config.verify.map((test, i) => ({
      container: test.container,
      job: test.executionMode.kubernetesCluster.jobManifestPath,
      at: ["verify", i],
      containerAt: ["verify", i, "container"]
    }))
  ]
  const images = config.build.artifacts.map(({ image }) => image)
  for (const [i, name] of duplicates(hooks.map((hook) => hook.container.name))) {
    complain(
      [...hooks[i]!.containerAt, "name"],
      `two hooks have a container named "${name}". Jobs are named after their container, and Skaffold deletes a Job of the same name before it starts its own.`
    )
  }
  for (const { container, job, at, containerAt } of hooks) {
    if (!images.includes(container.image)) {
      complain(
        [...containerAt, "image"],
        `"${container.image}" is no artifact of this file (${images.join(", ")}), so the release's digest would not be put in its place`
      )
    }
    const jobAt = [...at, "executionMode", "kubernetesCluster", "jobManifestPath"]
    if (!existsSync(join(folder, job))) {
      complain(jobAt, `${job} does not exist`)
      continue
    }
    const containers = containersOf(join(folder, job))
    if (containers === undefined) complain(jobAt, `${job} is not one batch/v1 Job`)
    else if (!containers.includes(container.name)) {
      complain(jobAt, `${job} has no container named "${container.name}", so its environment and volumes would be lost`)
    } else if (containers.length > 1) {
      complain(
        jobAt,
        `${job} has other containers too; Skaffold drops them without a word. A sidecar must be an initContainer with restartPolicy Always.`
      )
    }
  }
  return problems
}

/** Reads `skaffold.yaml`. Paths in it are relative to its folder, and must exist. */
export const readSkaffold = (file: string): Effect.Effect<SkaffoldConfig, DeliveryConfigInvalid> =>
  Effect.gen(function* () {
    const name = basename(file)
    const text = yield* Effect.try({
      try: () => readFileSync(file, "utf8"),
      catch: () =>
        DeliveryConfigInvalid.of([{ file: name, line: 1, path: "", message: `${file} can't be read. Is it there?` }])
    })
    const { documents, problems } = parseYaml(name, text)
    if (problems.length > 0) return yield* DeliveryConfigInvalid.of(problems)
    if (documents.length !== 1) {
      return yield* DeliveryConfigInvalid.of([
        { file: name, line: 1, path: "", message: `holds ${documents.length} documents; one is expected` }
      ])
    }
    const decoded = decodeStrictly(documents[0]!, SkaffoldConfig, NOT_HONOURED)
    if ("problems" in decoded) return yield* DeliveryConfigInvalid.of(decoded.problems)
    const wrong = checkFiles(decoded.value, documents[0]!, dirname(file))
    if (wrong.length > 0) return yield* DeliveryConfigInvalid.of(wrong)
    return decoded.value
  })
