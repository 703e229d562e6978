/** `deliver lint`: everything that a file of the delivery says wrongly, of all files at once. Nothing outside is asked. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { nearest } from "../../domain/Nearest.ts"
import { type Build, lintBuild } from "./CloudBuild.ts"
import { type DeliveryConfig, readDeliveryConfig, readSkaffold, type SkaffoldConfig } from "./DeliveryConfig.ts"
import { againstSkaffold } from "./References.ts"
import type { Problem, YamlDocument } from "./YamlFile.ts"

export interface LintReport {
  /** The files that were read, relative to the folder. */
  readonly files: ReadonlyArray<string>
  readonly problems: ReadonlyArray<Problem>
}

const EMAIL = /^[a-z][a-z0-9-]{4,28}[a-z0-9]@([a-z][a-z0-9-]{4,28}[a-z0-9])\.iam\.gserviceaccount\.com$/

/** Service accounts that Cloud Deploy acts as: their form, and that they are of a project where something of ours is. */
const checkAccounts = (config: DeliveryConfig, builds: ReadonlyArray<Build>): ReadonlyArray<Problem> => {
  const problems: Array<Problem> = []
  const projects = [
    ...config.targets.map(({ gke }) => gke.cluster.split("/")[1]!),
    ...builds.flatMap(({ serviceAccount }) => serviceAccount?.split("/")[1] ?? [])
  ]
  const check = (email: string, complain: (message: string) => Problem) => {
    const project = EMAIL.exec(email)?.[1]
    if (project === undefined) problems.push(complain(`"${email}" is no service account's e-mail address`))
    else if (!projects.includes(project)) {
      const hint = nearest(project, projects)
      problems.push(
        complain(
          `is of project "${project}", where neither a target nor the build is.${hint === undefined ? ` Known: ${[...new Set(projects)].join(", ")}.` : ` Did you mean "${hint}"?`}`
        )
      )
    }
  }
  for (const { metadata, serviceAccount } of config.automations) {
    check(serviceAccount, (message) => config.complain("Automation", metadata.name, ["serviceAccount"], message))
  }
  for (const { metadata, executionConfigs } of config.targets) {
    for (const [i, { serviceAccount }] of (executionConfigs ?? []).entries()) {
      if (serviceAccount === undefined) continue
      const path = ["executionConfigs", i, "serviceAccount"]
      check(serviceAccount, (message) => config.complain("Target", metadata.name, path, message))
    }
  }
  return problems
}

/** `--delivery-pipeline=agents`, with a substitution's value in place of its name. */
const flagValues = (build: Build, script: string, flag: string): ReadonlyArray<string> =>
  [...script.matchAll(new RegExp(`--${flag}[= ]"?([^"\\s\\\\]+)`, "g"))].flatMap((match) => {
    const value = match[1]!.replace(
      /\$\{?(_[A-Z0-9_]+)\}?/g,
      (whole, name: string) => build.substitutions?.[name] ?? whole
    )
    return value.includes("$") ? [] : [value]
  })

/** What the build asks of the delivery: its pipeline and its images by the names that are there. */
const checkRelease = (
  { document, build }: { readonly document: YamlDocument; readonly build: Build },
  config: DeliveryConfig | undefined,
  skaffold: SkaffoldConfig | undefined
): ReadonlyArray<Problem> =>
  build.steps.flatMap((step, i) => {
    const text = step.script ?? (step.args ?? []).join(" ")
    const at = ["steps", i, step.script === undefined ? "args" : "script"]
    if (!text.includes("deploy releases create")) return []
    const problems: Array<Problem> = []
    const pipelines = config?.pipelines.map(({ metadata }) => metadata.name)
    for (const name of flagValues(build, text, "delivery-pipeline")) {
      if (pipelines !== undefined && !pipelines.includes(name)) {
        problems.push(
          document.problem(at, `there is no pipeline "${name}" in clouddeploy/. Known: ${pipelines.join(", ")}.`)
        )
      }
    }
    const artifacts = skaffold?.build.artifacts.map(({ image }) => image)
    const named = [...text.matchAll(/--images="?([^"\n]+)/g)].flatMap((match) =>
      [...match[1]!.matchAll(/(?:^|,)([a-z0-9-]+)=/g)].map((each) => each[1]!)
    )
    for (const name of named) {
      if (artifacts !== undefined && !artifacts.includes(name)) {
        const hint = nearest(name, artifacts)
        problems.push(
          document.problem(
            at,
            `--images names "${name}", which is no artifact of skaffold.yaml, so its digest would be put nowhere.${hint === undefined ? "" : ` Did you mean "${hint}"?`}`
          )
        )
      }
    }
    if (named.length > 0) {
      for (const missing of (artifacts ?? []).filter((name) => !named.includes(name))) {
        problems.push(document.problem(at, `--images leaves out "${missing}": it would be deployed without a digest`))
      }
    }
    return problems
  })

const BUILD_FILE = /^cloudbuild([.-][a-z-]+)?\.ya?ml$/

/** Reads `clouddeploy/`, `skaffold.yaml` and every `cloudbuild*.yaml` of the folder. */
export const lint = (root: string): Effect.Effect<LintReport> =>
  Effect.gen(function* () {
    const config = yield* Effect.either(readDeliveryConfig(join(root, "clouddeploy")))
    const skaffold = yield* Effect.either(readSkaffold(join(root, "skaffold.yaml")))
    const names = yield* Effect.sync(() =>
      readdirSync(root)
        .filter((name) => BUILD_FILE.test(name))
        .sort()
    )
    const builds = yield* Effect.sync(() =>
      names.map((name) => lintBuild(name, readFileSync(join(root, name), "utf8")))
    )
    const problems: Array<Problem> = []
    if (config._tag === "Left") problems.push(...config.left.problems)
    else
      problems.push(
        ...checkAccounts(
          config.right,
          builds.flatMap(({ build }) => build ?? [])
        )
      )
    if (skaffold._tag === "Left") problems.push(...skaffold.left.problems)
    else if (config._tag === "Right") problems.push(...againstSkaffold(config.right, skaffold.right))
    for (const each of builds) {
      problems.push(...each.problems)
      if (each.document === undefined || each.build === undefined) continue
      problems.push(
        ...checkRelease(
          { document: each.document, build: each.build },
          config._tag === "Right" ? config.right : undefined,
          skaffold._tag === "Right" ? skaffold.right : undefined
        )
      )
    }
    return { files: ["clouddeploy/", "skaffold.yaml", ...names], problems }
  })
