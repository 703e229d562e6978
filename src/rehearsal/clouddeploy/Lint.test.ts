import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, describe, expect, it } from "@effect/vitest"
import { Effect, Schema, SchemaAST } from "effect"
import { type Shape, shapeOf } from "../schema/GoogleSchema.ts"
import { lint } from "./Lint.ts"
import { Automation, DeliveryPipeline, DeployPolicy, Target } from "./Resources.ts"

const root = resolve(import.meta.dirname, "../../..")
const folders: Array<string> = []
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** The repository's own delivery files with one edit of one of them. The edit must hit. */
const withEdit = (file: string, find: string | RegExp, replace: string): string => {
  const folder = mkdtempSync(join(tmpdir(), "lint-"))
  folders.push(folder)
  for (const path of ["clouddeploy", "k8s", "skaffold.yaml", "cloudbuild.yaml"]) {
    cpSync(join(root, path), join(folder, path), { recursive: true })
  }
  const text = readFileSync(join(folder, file), "utf8")
  const edited = text.replace(find, replace)
  expect(edited).not.toBe(text)
  writeFileSync(join(folder, file), edited)
  return folder
}

const mistakes: ReadonlyArray<
  readonly [name: string, find: string | RegExp, replace: string, path: string, says: string | RegExp]
> = [
  [
    "an unknown key",
    "waitFor: [tools, install]",
    "waitfor: [tools, install]",
    "steps[typecheck].waitfor",
    'Did you mean "waitFor"?'
  ],
  [
    "a key that the service writes",
    "timeout: 2400s",
    "timeout: 2400s\nstatus: SUCCESS",
    "status",
    "written by Google Cloud"
  ],
  [
    "a wrong type",
    "automapSubstitutions: true",
    'automapSubstitutions: "true"',
    "steps[image].automapSubstitutions",
    "must be a boolean"
  ],
  ["a duration without its unit", "timeout: 2400s", "timeout: 2400", "timeout", "must be seconds"],
  [
    "an enum's unknown word",
    "CLOUD_LOGGING_ONLY",
    "CLOUD_LOGING_ONLY",
    "options.logging",
    "Did you mean CLOUD_LOGGING_ONLY?"
  ],
  ["a list that is none", "waitFor: [tools, install]", "waitFor: tools", "steps[typecheck].waitFor", "must be a list"],
  [
    "a wait for a step that does not exist",
    "waitFor: [push]",
    "waitFor: [psh]",
    "steps[scan].waitFor[0]",
    'Did you mean "push"?'
  ],
  [
    "a wait for a later step",
    "waitFor: [tools, install]",
    "waitFor: [tools, push]",
    "steps[typecheck].waitFor[1]",
    "only wait for earlier ones"
  ],
  [
    "a wait for nothing and something",
    'waitFor: ["-"]',
    'waitFor: ["-", "-"]',
    "steps[restore].waitFor[0]",
    "stands alone"
  ],
  ["two steps of one name", "id: install", "id: tools", "steps[install].id", "there twice"],
  [
    "a mistyped substitution in an argument",
    "$_REGISTRY/agents-smoke:$COMMIT_SHA, smoke]",
    "$_REGISTY/agents-smoke:$COMMIT_SHA, smoke]",
    "steps[smoke-image].args[2]",
    "Did you mean $_REGISTRY?"
  ],
  [
    "a mistyped substitution in a script",
    "$_RELEASE_BUCKET",
    "$_RELEASE_BUKET",
    "steps[release].script",
    "Did you mean $_RELEASE_BUCKET?"
  ],
  [
    "a mistyped built-in",
    "agents-smoke:$COMMIT_SHA, smoke]",
    "agents-smoke:$COMIT_SHA, smoke]",
    "steps[smoke-image].args[2]",
    "Did you mean $COMMIT_SHA?"
  ],
  [
    "a script that gets no substitutions",
    "    automapSubstitutions: true\n",
    "",
    "steps[image].script",
    "nothing is put into a script"
  ],
  [
    "a substitution that nothing uses",
    "substitutions:",
    "substitutions:\n  _SPARE: x",
    "substitutions._SPARE",
    "used nowhere"
  ],
  [
    "a substitution without its underscore",
    "substitutions:",
    "substitutions:\n  SPARE: x",
    "substitutions.SPARE",
    "begin with _"
  ],
  [
    "a script beside args",
    "  - id: push\n",
    "  - id: push\n    args: [x]\n",
    "steps[push].script",
    "excludes entrypoint and args"
  ],
  [
    "a step that may take longer than the build",
    /(- id: push\n[\s\S]*?timeout: )600s/,
    "$19000s",
    "steps[push].timeout",
    "longer than the build"
  ],
  [
    "a secret that nobody provides",
    "  - id: push\n",
    "  - id: push\n    secretEnv: [TOKEN]\n",
    "steps[push].secretEnv[0]",
    "no secret under availableSecrets"
  ],
  [
    "an account without a place for logs",
    "  logging: CLOUD_LOGGING_ONLY\n",
    "",
    "serviceAccount",
    "a place for its logs"
  ],
  [
    "an account of the wrong form",
    /serviceAccount: projects\/[^/]+\/serviceAccounts\//,
    "serviceAccount: ",
    "serviceAccount",
    "must be projects/"
  ],
  [
    "a pipeline that does not exist",
    "_PIPELINE: agents",
    "_PIPELINE: agent",
    "steps[release].script",
    'no pipeline "agent"'
  ],
  [
    "an image that is no artifact",
    '--images="agents=',
    '--images="agent=',
    "steps[release].script",
    "no artifact of skaffold.yaml"
  ],
  [
    "an artifact that the release leaves out",
    /,agents-smoke=\$\(cat .release\/agents-smoke\)/,
    "",
    "steps[release].script",
    'leaves out "agents-smoke"'
  ],
  ["a build without steps", /steps:[\s\S]*?\nimages:/, "images:", "steps", "every build has steps"]
]

/** `steps[push]` with the number of the step of that id, wherever the build has it. */
const numbered = (path: string): string => {
  const ids = [...readFileSync(join(root, "cloudbuild.yaml"), "utf8").matchAll(/^ {2}- id: (\S+)/gm)].map(
    ([, id]) => id
  )
  return path.replace(/\[([a-z-]+)\]/, (_, id: string) => {
    expect(ids).toContain(id)
    return `[${ids.indexOf(id)}]`
  })
}

describe("deliver lint", () => {
  it.effect("finds nothing in the repository's own files", () =>
    Effect.gen(function* () {
      const { files, problems } = yield* lint(root)
      expect(problems).toEqual([])
      expect(files).toContain("cloudbuild.yaml")
    })
  )

  for (const [name, find, replace, path, says] of mistakes) {
    it.effect(`finds in a build: ${name}`, () =>
      Effect.gen(function* () {
        const at = numbered(path)
        const { problems } = yield* lint(withEdit("cloudbuild.yaml", find, replace))
        const found = problems.filter((problem) => problem.file === "cloudbuild.yaml" && problem.path === at)
        expect(problems.map((problem) => problem.path)).toContain(at)
        expect(found.map(({ message }) => message).join("\n")).toMatch(says)
      })
    )
  }

  it.effect("names the line", () =>
    Effect.gen(function* () {
      const folder = withEdit("cloudbuild.yaml", "waitFor: [push]", "waitFor: [psh]")
      const { problems } = yield* lint(folder)
      const lines = readFileSync(join(folder, "cloudbuild.yaml"), "utf8").split("\n")
      expect(lines[problems[0]!.line - 1]).toContain("psh")
    })
  )

  it.effect("finds a service account of a project where nothing is", () =>
    Effect.gen(function* () {
      const { problems } = yield* lint(
        withEdit("clouddeploy/automations.yaml", "@effect-agents-example.iam", "@effect-agents-exmple.iam")
      )
      expect(problems.map(({ path, message }) => [path, message])).toEqual([
        ["serviceAccount", expect.stringContaining('Did you mean "effect-agents-example"?')]
      ])
    })
  )

  it.effect("reports the mistakes of all files at once", () =>
    Effect.gen(function* () {
      const folder = withEdit("cloudbuild.yaml", "waitFor: [push]", "waitFor: [psh]")
      const targets = join(folder, "clouddeploy/targets.yaml")
      writeFileSync(targets, readFileSync(targets, "utf8").replace("requireApproval", "requireAproval"))
      const skaffold = join(folder, "skaffold.yaml")
      writeFileSync(skaffold, readFileSync(skaffold, "utf8").replace("kustomize:", "kustomise:"))
      const { problems } = yield* lint(folder)
      expect(new Set(problems.map(({ file }) => file))).toEqual(
        new Set(["clouddeploy/targets.yaml", "skaffold.yaml", "cloudbuild.yaml"])
      )
    })
  )
})

/** Keys of the form that people write and gcloud translates: `metadata` becomes name, labels and annotations. */
const WRITTEN = ["apiVersion", "kind", "metadata"]
/** Where the written form has another shape than the API's, with the API's own keys. */
const TRANSLATED = ["startTime", "endTime", "oneTimeWindows", "selector"]

const unwrap = (ast: SchemaAST.AST): SchemaAST.AST =>
  SchemaAST.isRefinement(ast) || SchemaAST.isTransformation(ast) ? unwrap(ast.from) : ast

const strangers = (ast: SchemaAST.AST, shape: Shape, path: string): ReadonlyArray<string> => {
  const plain = unwrap(ast)
  if (shape.$ref !== undefined) return strangers(plain, shapeOf("clouddeploy", shape.$ref), path)
  if (SchemaAST.isTupleType(plain)) {
    const [item] = [...plain.elements, ...plain.rest]
    return item === undefined || shape.items === undefined ? [path] : strangers(item.type, shape.items, path)
  }
  if (!SchemaAST.isTypeLiteral(plain) || plain.indexSignatures.length > 0) return []
  return plain.propertySignatures.flatMap(({ name, type }) => {
    const key = String(name)
    if (path === "" && WRITTEN.includes(key)) return []
    const inner = shape.properties?.[key]
    if (inner === undefined) return [`${path}.${key}`]
    return TRANSLATED.includes(key) ? [] : strangers(type, inner, `${path}.${key}`)
  })
}

describe("the files' schemas", () => {
  const resources: ReadonlyArray<readonly [string, Schema.Schema.AnyNoContext]> = [
    ["DeliveryPipeline", DeliveryPipeline],
    ["Target", Target],
    ["Automation", Automation],
    ["DeployPolicy", DeployPolicy]
  ]
  for (const [name, schema] of resources) {
    it(`invent no key that Google's ${name} lacks`, () => {
      expect(strangers(schema.ast, shapeOf("clouddeploy", name), "")).toEqual([])
    })
  }

  it("would not go unnoticed if they did", () => {
    const invented = Schema.Struct({ serialPipeline: Schema.Struct({ stagez: Schema.String }) })
    expect(strangers(invented.ast, shapeOf("clouddeploy", "DeliveryPipeline"), "")).toEqual([".serialPipeline.stagez"])
  })
})
