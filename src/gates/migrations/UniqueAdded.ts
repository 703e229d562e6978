/**
 * A new unique index on a table that live releases write to. One sample write can't show what it does: the first write of a key
 * always passes, and the second one, which was fine until now, fails in the middle of an execution.
 */
import type { Finding } from "../Evidence.ts"
import type { MigrationFile } from "./MigrationFile.ts"
import type { Demand } from "./Proof.ts"

export interface UniqueIndex {
  readonly file: MigrationFile
  readonly line: number
  /** As written: `agents.notes`. */
  readonly table: string
}

const created = /^create unique index (?:concurrently )?(?:if not exists )?(?:\S+ )?on (?:only )?([\w."]+)/

/** What the files build. A constraint that is added in a table's own statement is squawk's business. Pure. */
export const uniqueIndexes = (files: ReadonlyArray<MigrationFile>): ReadonlyArray<UniqueIndex> =>
  files
    .filter(({ uniqueReason }) => uniqueReason === undefined)
    .flatMap((file) =>
      file.statements.flatMap(({ words, line }) => {
        const table = created.exec(words)?.[1]
        return table === undefined ? [] : [{ file, line, table }]
      })
    )

const bare = (name: string) => name.replaceAll('"', "").split(".").at(-1)!

const writes = (text: string, table: string) =>
  new RegExp(`\\b(insert\\s+into|update|merge\\s+into)\\s+(only\\s+)?("?agents"?\\.)?"?${bare(table)}"?\\b`, "i").test(
    text
  )

/** Which statements of which releases write to a table: `runs.insert of release 1a2b3c4d5e6f`. Pure. */
export const writersOf = (demands: ReadonlyArray<Demand>, table: string): ReadonlyArray<string> => [
  ...new Set(
    demands
      .filter(({ text }) => writes(text, table))
      .flatMap(({ needers }) => needers)
      .map(({ release, name }) => `${name} of release ${release.slice(0, 12)}`)
  )
]

/** Who writes to such a table. Tables that are not there yet have no writers. Pure. */
export const findingsOf = (
  indexes: ReadonlyArray<UniqueIndex>,
  demands: ReadonlyArray<Demand>
): ReadonlyArray<Finding> =>
  indexes.flatMap(({ file, line, table }): ReadonlyArray<Finding> => {
    const who = writersOf(demands, table)
    if (who.length === 0) return []
    return [
      {
        rule: "unique-added",
        severity: "hazard",
        what: `${file.name} makes ${table} unique in a way that it was not, and live releases write to it.`,
        where: `migrations/${file.name}.sql:${line}, ${who.slice(0, 5).join(", ")}`,
        why: "A write that repeats a key was fine for those releases and now fails, in the middle of an execution. One sample write can't show it: the first of a key always passes.",
        fix: 'If they never write a key twice, say why in the header: "-- unique: run ids are made by the gateway". Else add it when no release that does is deployed or the rollback choice.'
      }
    ]
  })
