/**
 * Proves that the tests of the grouped storage and of the journal find what they are for: five builds, each of which breaks
 * one promise, and the test that must fail on it. `make test-storage-checker`. Ends with 1 when one of them is not caught.
 *
 * The source is changed in a copy. A copy that can't run at all would fail every test; so only the failure of the named test
 * counts, and only when it ran to its judgement.
 */
import { execFile } from "node:child_process"
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { Edit } from "../support/image.ts"

const root = fileURLToPath(new URL("../../", import.meta.url))
const COPIED = ["src", "test", "migrations", "package.json", "tsconfig.json", "vitest.config.ts", "surface.json"]
const WITHIN = 180_000

interface Sabotage {
  readonly what: string
  readonly edit: Edit
  readonly file: string
  /** The test that must fail, by a part of its title. */
  readonly test: string
}

const sabotages: ReadonlyArray<Sabotage> = [
  {
    what: "resume before commit: a caller goes on when its row is queued",
    edit: {
      file: "src/runtime/storage/Batcher.ts",
      find: "queue.push(entry)",
      replace: 'queue.push(entry)\n        resume(Effect.succeed("SENT" as never))'
    },
    file: "src/runtime/storage/Batcher.test.ts",
    test: "tells every row of a trip that the database was away"
  },
  {
    what: "lost row: a batch leaves its first request out, and says that all are stored",
    edit: {
      file: "src/runtime/storage/GroupStorage.ts",
      find: "JSON.stringify(requests),\n          JSON.stringify(replies),\n          requests.length,",
      replace:
        "JSON.stringify(requests.length > 1 ? requests.slice(1) : requests),\n          JSON.stringify(replies),\n          requests.length > 1 ? requests.length - 1 : requests.length,"
    },
    file: "src/runtime/storage/GroupStorage.test.ts",
    test: "stores what many fibers send with few statements"
  },
  {
    what: "no fencing: a step is recorded whoever holds the shard",
    edit: { file: "src/runtime/journal/statements.ts", find: " and e.epoch = g.epoch", replace: "" },
    file: "src/runtime/journal/Journal.test.ts",
    test: "refuses the step of a runner that lost the shard"
  },
  {
    what: "adopt own value: who lost the race for a step goes on with its own outcome",
    edit: {
      file: "src/runtime/journal/Journal.ts",
      find: 'answer._tag === "lost" ? answer.exit : exit',
      replace: "exit"
    },
    file: "src/runtime/journal/Journal.test.ts",
    test: "takes the outcome that another run of the step recorded first"
  },
  {
    what: "double resume: the second of two who wake an execution deletes its end",
    edit: {
      file: "src/runtime/storage/statements.ts",
      find: `and payload not like '{"\\\\_tag":"Success","value":{"\\\\_tag":"Complete"%'`,
      replace: ""
    },
    file: "src/runtime/WakeUps.test.ts",
    test: "what has a result keeps it when it is woken once more"
  }
]

interface Report {
  readonly testResults: ReadonlyArray<{
    readonly assertionResults: ReadonlyArray<{ readonly title: string; readonly status: string }>
  }>
}

/** The states of the tests whose title holds `test`, in a copy with the edit. */
const outcomes = async ({ edit, file, test }: Sabotage): Promise<ReadonlyArray<string>> => {
  const folder = await mkdtemp(join(tmpdir(), "agents-sabotage-"))
  try {
    for (const name of COPIED) await cp(join(root, name), join(folder, name), { recursive: true })
    for (const name of ["node_modules", ".tools"]) await symlink(join(root, name), join(folder, name))
    const source = await readFile(join(folder, edit.file), "utf8")
    if (!source.includes(edit.find)) throw new Error(`${edit.file} does not hold ${JSON.stringify(edit.find)}`)
    await writeFile(
      join(folder, edit.file),
      source.replace(edit.find, () => edit.replace)
    )
    const report = join(folder, "report.json")
    await new Promise<void>((resolve) =>
      execFile(
        process.execPath,
        [
          join(root, "node_modules/vitest/vitest.mjs"),
          "run",
          file,
          "-t",
          test,
          "--reporter=json",
          `--outputFile=${report}`
        ],
        { cwd: folder, timeout: WITHIN, maxBuffer: 64_000_000 },
        // That it fails is what is wanted: the report says of what.
        () => resolve()
      )
    )
    const { testResults } = JSON.parse(await readFile(report, "utf8")) as Report
    return testResults
      .flatMap(({ assertionResults }) => assertionResults)
      .filter(({ title }) => title.includes(test))
      .map(({ status }) => status)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

let missed = 0
for (const sabotage of sabotages) {
  const states = await outcomes(sabotage)
  const caught = states.includes("failed")
  if (!caught) missed++
  process.stdout.write(
    `${caught ? "caught" : "MISSED"}  ${sabotage.what}\n        by "${sabotage.test}" (${states.join(", ") || "it did not run"})\n`
  )
}
process.exitCode = missed === 0 ? 0 : 1
