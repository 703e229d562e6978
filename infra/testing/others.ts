/** What the compiler and the mocks say to resources that are written with a mistake in place. */
import { join } from "node:path"
import * as gcp from "@pulumi/gcp"
import * as pulumi from "@pulumi/pulumi"
import ts from "typescript"
import type { Captured } from "./capture.ts"

export interface Case {
  readonly resource: Captured
  readonly inputs: Captured["inputs"]
}

/** `gcp:sql/databaseInstance:DatabaseInstance` to `["sql", "DatabaseInstance"]`. */
const path = (type: string): readonly [module: string, name: string] => {
  const [, module = "", name = ""] = type.split(":")
  return [module.split("/")[0] ?? "", name]
}

/** Two literals a case, one line each: the inputs as they are, then with the mistake. */
export const refusedByCompiler = (
  cases: ReadonlyArray<Case>
): { readonly control: ReadonlyArray<string>; readonly refused: ReadonlyArray<boolean> } => {
  const lines = cases.flatMap(({ inputs, resource }, i) => {
    const [module, name] = path(resource.type)
    const literal = (suffix: string, value: Captured["inputs"]) =>
      `export const ${suffix}${i}: gcp.${module}.${name}Args = ${JSON.stringify(value)}`
    return [literal("right", resource.inputs), literal("wrong", inputs)]
  })
  const file = join(import.meta.dirname, "mistakes.in-memory.ts")
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.NodeNext,
    moduleResolution: ts.ModuleResolutionKind.NodeNext,
    types: ["node"]
  }
  const host = ts.createCompilerHost(options)
  const read = host.getSourceFile.bind(host)
  const text = `import type * as gcp from "@pulumi/gcp"\n${lines.join("\n")}\n`
  host.getSourceFile = (name, target) => (name === file ? ts.createSourceFile(name, text, target) : read(name, target))
  const exists = host.fileExists.bind(host)
  host.fileExists = (name) => name === file || exists(name)
  const program = ts.createProgram([file], options, host)
  const source = program.getSourceFile(file)!
  const found = new Map<number, string>()
  for (const { messageText, start } of program.getSemanticDiagnostics(source)) {
    found.set(
      source.getLineAndCharacterOfPosition(start ?? 0).line - 1,
      ts.flattenDiagnosticMessageText(messageText, " ")
    )
  }
  return {
    control: cases.flatMap((_, i) => found.get(2 * i) ?? []),
    refused: cases.map((_, i) => found.has(2 * i + 1))
  }
}

type Class = new (name: string, inputs: object) => pulumi.CustomResource

export const refusedByMocks = async (cases: ReadonlyArray<Case>): Promise<ReadonlyArray<boolean>> => {
  await pulumi.runtime.setMocks({
    newResource: ({ inputs, name }) => ({ id: `${name}-id`, state: inputs }),
    call: ({ inputs }) => inputs
  })
  const refused = cases.map(({ inputs, resource }, i) => {
    const [module, name] = path(resource.type)
    const made = (gcp as unknown as Record<string, Record<string, Class>>)[module]![name]!
    try {
      new made(`case-${i}`, inputs)
      return false
    } catch {
      return true
    }
  })
  await pulumi.runtime.disconnect()
  return refused
}
