/**
 * Would TypeScript alone have caught it? Every edit of the source is put into the program in memory, and what it changes is
 * checked anew. A harmless edit must compile, or it is none.
 */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setImmediate } from "node:timers/promises"
import ts from "typescript"
import { describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "../..")

interface Edited {
  readonly title: string
  readonly expect: string | null
  readonly edits: ReadonlyArray<{ readonly file: string; readonly find: string; readonly replace: string }>
}

const entries = readdirSync(import.meta.dirname)
  .filter((name) => name.endsWith(".json"))
  .map((name) => JSON.parse(readFileSync(join(import.meta.dirname, name), "utf8")) as Edited)

const config = ts.parseJsonConfigFileContent(
  ts.readConfigFile(join(root, "tsconfig.json"), ts.sys.readFile).config,
  ts.sys,
  root
)
const options: ts.CompilerOptions = { ...config.options, incremental: false }
delete options.tsBuildInfoFile
const roots = config.fileNames.filter((name) => name.startsWith(join(root, "src/")) && !name.endsWith(".test.ts"))

const host = ts.createIncrementalCompilerHost(options)
const read = host.readFile.bind(host)
let patched: ReadonlyMap<string, string> = new Map()
host.readFile = (path) => patched.get(path) ?? read(path)

let builder: ts.SemanticDiagnosticsBuilderProgram | undefined

/** What is wrong with the files that changed since the last call, and with those that they affect. */
const problems = async (files: ReadonlyMap<string, string>): Promise<ReadonlyArray<string>> => {
  patched = files
  builder = ts.createSemanticDiagnosticsBuilderProgram(roots, options, host, builder)
  const found: Array<string> = []
  for (;;) {
    const next = builder.getSemanticDiagnosticsOfNextAffectedFile()
    if (next === undefined) return found
    // The runner of the tests takes a process that is silent for a minute for a dead one.
    await setImmediate()
    found.push(...next.result.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n")))
  }
}

const REPORT = join(root, "node_modules/.cache/hazards/typescript.txt")

describe.runIf(process.env["HAZARDS"] === "all")("TypeScript alone", () => {
  it("passes every harmless edit, and finds what does not compile", { timeout: 600_000 }, async () => {
    expect(roots.length).toBeGreaterThan(100)
    expect(await problems(new Map())).toEqual([])
    const broken = join(root, "src/agent/registry.ts")
    const wrong = await problems(new Map([[broken, `${read(broken)!}\nexport const wrong: string = 1`]]))
    expect(wrong.length).toBeGreaterThan(0)

    const results: Array<{ readonly entry: Edited; readonly found: ReadonlyArray<string> }> = []
    for (const entry of entries) {
      const texts = new Map<string, string>()
      for (const { file, find, replace } of entry.edits) {
        const path = join(root, file)
        texts.set(
          path,
          (texts.get(path) ?? read(path)!).replace(find, () => replace)
        )
      }
      results.push({ entry, found: await problems(texts) })
    }
    for (const { entry, found } of results.filter(({ entry }) => entry.expect === null)) {
      expect(found, entry.title).toEqual([])
    }
    const hazards = results.filter(({ entry }) => entry.expect !== null)
    const caught = hazards.filter(({ found }) => found.length > 0)
    mkdirSync(join(REPORT, ".."), { recursive: true })
    writeFileSync(
      REPORT,
      [
        ...hazards.map(({ entry, found }) => `${entry.title.padEnd(84)} ${found.length > 0 ? "caught" : "compiles"}`),
        "",
        `${caught.length} of ${hazards.length} hazards among the edits of the source are caught by TypeScript alone.`,
        ""
      ].join("\n")
    )
  })
})
