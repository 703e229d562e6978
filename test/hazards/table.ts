/** The corpus as a table: what was caught, and by what. */
import type { Entry, Said } from "./Entry.ts"

interface Result {
  readonly entry: Entry
  readonly said: Said
  readonly wrong: string | undefined
}

const columns = (cells: ReadonlyArray<string>) => {
  const [gate, change, verdict, rules] = cells
  return `${gate!.padEnd(11)} ${change!.padEnd(72)} ${verdict!.padEnd(10)} ${rules}`
}

const rulesOf = ({ findings }: Said) =>
  [...new Set(findings.filter(({ severity }) => severity !== "note").map(({ rule }) => rule))].join(", ")

/** `sources` are judged in processes of their own; their tests say which failed. */
export const table = (
  results: ReadonlyArray<Result>,
  sources: ReadonlyArray<{ readonly expect: string | null }>
): string => {
  const hazards = results.filter(({ entry }) => entry.expect !== null)
  const harmless = results.filter(({ entry }) => entry.expect === null)
  const caught = hazards.filter(({ wrong }) => wrong === undefined)
  const passed = harmless.filter(({ wrong }) => wrong === undefined)
  const squawk = hazards.filter(({ said }) => said.squawk === true)
  const migrations = hazards.filter(({ said }) => said.squawk !== undefined)
  const row = ({ entry, said, wrong }: Result) =>
    columns([
      entry.gate,
      entry.title,
      wrong === undefined ? said.verdict : "WRONG",
      `${rulesOf(said)}${said.squawk === true ? " (squawk alone would too)" : ""}`
    ])
  return [
    columns(["gate", "hazard", "verdict", "told by"]),
    ...hazards.map(row),
    "",
    columns(["gate", "harmless change", "verdict", ""]),
    ...harmless.map(row),
    "",
    `${caught.length} of ${hazards.length} hazards refused with their words, ${squawk.length} of the ${migrations.length} among migrations by squawk alone too.`,
    `${passed.length} of ${harmless.length} harmless changes passed.`,
    `${sources.length} more are edits of the source that the real commands judged (test/hazards/*.json).`,
    ""
  ].join("\n")
}
