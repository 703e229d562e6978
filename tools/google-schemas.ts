/**
 * Writes `src/rehearsal/schema/{clouddeploy,cloudbuild}.json` from Google's discovery documents: names, types and enums of what
 * people and clients send, without descriptions. `make google-schemas` runs it on the documents of a PyPI package.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"

interface Discovered {
  readonly type?: string
  readonly $ref?: string
  readonly format?: string
  readonly enum?: ReadonlyArray<string>
  readonly items?: Discovered
  readonly additionalProperties?: Discovered
  readonly properties?: Readonly<Record<string, Discovered>>
  readonly readOnly?: boolean
  readonly description?: string
}

const ROOTS: Readonly<Record<string, ReadonlyArray<string>>> = {
  clouddeploy: [
    "DeliveryPipeline",
    "Target",
    "Release",
    "Rollout",
    "Automation",
    "DeployPolicy",
    "CustomTargetType",
    "RollbackTargetRequest",
    "ApproveRolloutRequest",
    "AdvanceRolloutRequest",
    "CancelRolloutRequest",
    "RetryJobRequest",
    "IgnoreJobRequest",
    "TerminateJobRunRequest",
    "AbandonReleaseRequest"
  ],
  cloudbuild: ["Build", "BuildTrigger"]
}

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error("usage: node tools/google-schemas.ts DIR")

const shape = (value: Discovered): Discovered => ({
  ...(value.$ref === undefined ? {} : { $ref: value.$ref }),
  ...(value.type === undefined ? {} : { type: value.type }),
  ...(value.format === undefined ? {} : { format: value.format }),
  ...(value.enum === undefined ? {} : { enum: value.enum.filter((name) => !name.endsWith("_UNSPECIFIED")) }),
  ...(value.readOnly === true || value.description?.startsWith("Output only") ? { output: true } : {}),
  ...(value.items === undefined ? {} : { items: shape(value.items) }),
  ...(value.additionalProperties === undefined ? {} : { additionalProperties: shape(value.additionalProperties) }),
  ...(value.properties === undefined
    ? {}
    : { properties: Object.fromEntries(Object.entries(value.properties).map(([key, one]) => [key, shape(one)])) })
})

const references = (value: Discovered): ReadonlyArray<string> => [
  ...(value.$ref === undefined ? [] : [value.$ref]),
  ...[value.items, value.additionalProperties, ...Object.values(value.properties ?? {})].flatMap((one) =>
    one === undefined ? [] : references(one)
  )
]

for (const [api, roots] of Object.entries(ROOTS)) {
  const document = JSON.parse(readFileSync(join(folder, `${api}.v1.json`), "utf8"))
  const schemas: Record<string, Discovered> = {}
  const add = (name: string) => {
    if (name in schemas) return
    schemas[name] = shape(document.schemas[name])
    for (const other of references(schemas[name])) add(other)
  }
  for (const root of roots) add(root)
  const sorted = Object.fromEntries(Object.entries(schemas).sort(([a], [b]) => a.localeCompare(b)))
  writeFileSync(
    join(import.meta.dirname, "..", "src", "rehearsal", "schema", `${api}.json`),
    `${JSON.stringify({ api, version: document.version, revision: document.revision, schemas: sorted })}\n`
  )
}
