/**
 * `cloudbuild*.yaml`: Google's shape of a build, and what the build says of itself.
 *
 * `gcloud` finds an unknown key and nothing else. The service finds a wrong `waitFor` when the build is submitted, and a mistyped
 * substitution never: builds of a trigger are always ALLOW_LOOSE, so `$_REGON` is the empty word.
 */
import { Schema } from "effect"
import { nearest } from "../../domain/Nearest.ts"
import { mismatches } from "../schema/GoogleSchema.ts"
import { maybe, type Path, type Problem, parseYaml, type YamlDocument } from "./YamlFile.ts"

const Texts = Schema.Array(Schema.String)

const Step = Schema.Struct({
  id: maybe(Schema.String),
  name: Schema.String,
  entrypoint: maybe(Schema.String),
  args: maybe(Texts),
  script: maybe(Schema.String),
  env: maybe(Texts),
  secretEnv: maybe(Texts),
  waitFor: maybe(Texts),
  timeout: maybe(Schema.String),
  automapSubstitutions: maybe(Schema.Boolean)
})
type Step = typeof Step.Type

/** The part of a build that the checks below read. */
export const Build = Schema.Struct({
  steps: Schema.NonEmptyArray(Step),
  images: maybe(Texts),
  substitutions: maybe(Schema.Record({ key: Schema.String, value: Schema.String })),
  serviceAccount: maybe(Schema.String),
  logsBucket: maybe(Schema.String),
  timeout: maybe(Schema.String),
  availableSecrets: maybe(
    Schema.Struct({ secretManager: maybe(Schema.Array(Schema.Struct({ env: maybe(Schema.String) }))) })
  ),
  options: maybe(
    Schema.Struct({
      logging: maybe(Schema.String),
      defaultLogsBucketBehavior: maybe(Schema.String),
      automapSubstitutions: maybe(Schema.Boolean),
      env: maybe(Texts),
      secretEnv: maybe(Texts)
    })
  )
})
export type Build = typeof Build.Type

/** What Cloud Build sets by itself; the last five only in builds of a trigger on pull requests. */
const GIVEN = [
  "PROJECT_ID",
  "PROJECT_NUMBER",
  "BUILD_ID",
  "LOCATION",
  "TRIGGER_NAME",
  "TRIGGER_BUILD_CONFIG_PATH",
  "SERVICE_ACCOUNT",
  "SERVICE_ACCOUNT_EMAIL",
  "COMMIT_SHA",
  "REVISION_ID",
  "SHORT_SHA",
  "REPO_NAME",
  "REPO_FULL_NAME",
  "BRANCH_NAME",
  "TAG_NAME",
  "REF_NAME",
  "_HEAD_BRANCH",
  "_BASE_BRANCH",
  "_HEAD_REPO_URL",
  "_PR_NUMBER",
  "_HEAD_REPO_NAME"
]

/** `$NAME` and `${NAME}`, but not `$$NAME`, which Cloud Build writes through as `$NAME`. */
const USED = /(?<!\$)\$(?:([A-Z_][A-Z0-9_]*)|\{([A-Z_][A-Z0-9_]*)[^}]*\})/g
const usedIn = (text: string): ReadonlyArray<string> => [...text.matchAll(USED)].map((match) => (match[1] ?? match[2])!)

/** Where a script gives a variable a value of its own. */
const assignedIn = (script: string): ReadonlyArray<string> =>
  [
    ...script.matchAll(
      /(?:^|[\s;(])(?:export\s+|local\s+|read\s+(?:-r\s+)?)?([A-Z_][A-Z0-9_]*)=|\bfor\s+([A-Z_][A-Z0-9_]*)\s+in\b/gm
    )
  ].map((match) => (match[1] ?? match[2])!)

const seconds = (duration: string | undefined): number | undefined =>
  duration === undefined ? undefined : Number(duration.slice(0, -1))

type Complain = (path: Path, message: string) => void

const checkOrder = (build: Build, complain: Complain): void => {
  const ids = build.steps.map(({ id }) => id)
  const named = ids.filter((id) => id !== undefined)
  for (const [i, step] of build.steps.entries()) {
    const at = ["steps", i]
    if (step.id !== undefined && ids.indexOf(step.id) < i) complain([...at, "id"], `step "${step.id}" is there twice`)
    for (const [j, other] of (step.waitFor ?? []).entries()) {
      if (other === "-") {
        if (step.waitFor!.length > 1) complain([...at, "waitFor", j], '"-" means: wait for nothing. It stands alone.')
        continue
      }
      const position = ids.indexOf(other)
      if (position === -1) {
        const hint = nearest(other, named)
        complain(
          [...at, "waitFor", j],
          `there is no step "${other}".${hint === undefined ? ` Known: ${named.join(", ")}.` : ` Did you mean "${hint}"?`}`
        )
      } else if (position >= i) {
        complain(
          [...at, "waitFor", j],
          `"${other}" does not stand before this step: a step can only wait for earlier ones`
        )
      }
    }
    if (step.script !== undefined && (step.entrypoint !== undefined || step.args !== undefined)) {
      complain([...at, "script"], "excludes entrypoint and args: Cloud Build refuses the build")
    }
    const own = seconds(step.timeout)
    const whole = seconds(build.timeout) ?? 3600
    if (own !== undefined && own > whole) {
      complain([...at, "timeout"], `is longer than the build's own (${whole} s), which would end it first`)
    }
  }
}

/** Texts in which Cloud Build itself puts values, with their place. Scripts are not among them. */
const substituted = (build: Build): ReadonlyArray<readonly [Path, string]> => [
  ...build.steps.flatMap((step, i) => {
    const at = ["steps", i]
    const lists = (["args", "env", "secretEnv"] as const).flatMap((key) =>
      (step[key] ?? []).map((text, j) => [[...at, key, j], text] as const)
    )
    return [
      [[...at, "name"], step.name] as const,
      ...(step.entrypoint === undefined ? [] : [[[...at, "entrypoint"], step.entrypoint] as const]),
      ...lists
    ]
  }),
  ...(build.images ?? []).map((text, i) => [["images", i], text] as const),
  ...(build.options?.env ?? []).map((text, i) => [["options", "env", i], text] as const),
  ...Object.entries(build.substitutions ?? {}).map(([key, text]) => [["substitutions", key], text] as const),
  ...(build.serviceAccount === undefined ? [] : [[["serviceAccount"], build.serviceAccount] as const]),
  ...(build.logsBucket === undefined ? [] : [[["logsBucket"], build.logsBucket] as const])
]

const environmentOf = (build: Build, step: Step): ReadonlyArray<string> =>
  [...(step.env ?? []), ...(build.options?.env ?? [])].map((pair) => pair.split("=")[0]!)

const checkSubstitutions = (build: Build, complain: Complain): void => {
  const declared = Object.keys(build.substitutions ?? {})
  const known = [...declared, ...GIVEN]
  const used = new Set<string>()
  const unknown = (name: string) => {
    const hint = nearest(name, known)
    return `$${name} is neither declared under substitutions nor given by Cloud Build. In a triggered build it would be the empty word.${hint === undefined ? "" : ` Did you mean $${hint}?`}`
  }
  for (const [path, text] of substituted(build)) {
    for (const name of usedIn(text)) {
      used.add(name)
      if (!known.includes(name)) complain(path, unknown(name))
    }
  }
  for (const [i, step] of build.steps.entries()) {
    if (step.script === undefined) continue
    const path = ["steps", i, "script"]
    const environment = environmentOf(build, step)
    const secrets = [...(step.secretEnv ?? []), ...(build.options?.secretEnv ?? [])]
    const mapped = step.automapSubstitutions ?? build.options?.automapSubstitutions ?? false
    const assigned = assignedIn(step.script)
    for (const name of new Set(usedIn(step.script))) {
      if (environment.includes(name) || secrets.includes(name) || assigned.includes(name)) continue
      if (known.includes(name)) {
        used.add(name)
        if (!mapped) {
          complain(
            path,
            `reads $${name}, but nothing is put into a script. Set automapSubstitutions: true, or env: ["${name}=$${name}"].`
          )
        }
      } else if (name.startsWith("_")) complain(path, unknown(name))
    }
  }
  for (const name of declared) {
    if (!/^_[A-Z0-9_]+$/.test(name)) {
      complain(["substitutions", name], "must begin with _ and hold capital letters, digits and _ only")
    } else if (!used.has(name)) complain(["substitutions", name], "is used nowhere. Cloud Build refuses it by default.")
  }
}

const checkSecrets = (build: Build, complain: Complain): void => {
  const available = (build.availableSecrets?.secretManager ?? []).map(({ env }) => env)
  const wanted = build.steps.flatMap((step, i) =>
    (step.secretEnv ?? []).map((name, j) => [["steps", i, "secretEnv", j], name] as const)
  )
  for (const [path, name] of wanted) {
    if (!available.includes(name)) complain(path, `no secret under availableSecrets is put into "${name}"`)
  }
  const everywhere = [...wanted.map(([, name]) => name), ...(build.options?.secretEnv ?? [])]
  for (const [i, env] of available.entries()) {
    if (env !== undefined && !everywhere.includes(env)) {
      complain(["availableSecrets", "secretManager", i, "env"], `no step has "${env}" in its secretEnv`)
    }
  }
}

const SERVICE_ACCOUNT = /^projects\/[^/]+\/serviceAccounts\/[^/@]+@[^/]+$/

const checkAccount = (build: Build, complain: Complain): void => {
  if (build.serviceAccount === undefined) return
  if (!SERVICE_ACCOUNT.test(build.serviceAccount)) {
    complain(["serviceAccount"], "must be projects/PROJECT/serviceAccounts/NAME@PROJECT.iam.gserviceaccount.com")
  }
  const { logging, defaultLogsBucketBehavior } = build.options ?? {}
  const elsewhere = logging === "CLOUD_LOGGING_ONLY" || logging === "NONE"
  if (!elsewhere && build.logsBucket === undefined && defaultLogsBucketBehavior === undefined) {
    complain(
      ["serviceAccount"],
      "a build with an account of its own needs a place for its logs: options.logging CLOUD_LOGGING_ONLY, or logsBucket"
    )
  }
}

/** Every mistake of one `cloudbuild*.yaml`, and the build when it has a build's shape. */
export const lintBuild = (
  file: string,
  text: string
): { readonly problems: ReadonlyArray<Problem>; readonly document?: YamlDocument; readonly build?: Build } => {
  const { documents, problems } = parseYaml(file, text)
  const [document] = documents
  if (problems.length > 0) return { problems }
  if (document === undefined || documents.length !== 1) {
    return { problems: [{ file, line: 1, path: "", message: `holds ${documents.length} documents; one is expected` }] }
  }
  const found = mismatches("cloudbuild", "Build", document.value, { byHand: true }).map(({ path, message }) =>
    document.problem(path, message)
  )
  const decoded = Schema.decodeUnknownEither(Build)(document.value)
  if (decoded._tag === "Left") {
    // Whatever is wrong in its shape has been said in Google's words; what is left is that something is missing.
    return {
      problems: found.length > 0 ? found : [document.problem(["steps"], "every build has steps, and a step a name")]
    }
  }
  const complain: Complain = (path, message) => void found.push(document.problem(path, message))
  checkOrder(decoded.right, complain)
  checkSubstitutions(decoded.right, complain)
  checkSecrets(decoded.right, complain)
  checkAccount(decoded.right, complain)
  return { problems: found, document, build: decoded.right }
}
