/**
 * What a migrator has to do, decided from the files of this image and from what the database remembers. Pure.
 */
import type { Finding } from "../Evidence.ts"
import { byNumber, findingsOf, type MigrationFile, numberOf } from "./MigrationFile.ts"

export interface History {
  /** Names in `agents.pgmigrations`, in any order. */
  readonly applied: ReadonlyArray<string>
  /** sha256 by name, from `agents.migration_checksums`. */
  readonly checksums: ReadonlyMap<string, string>
}

export type Plan =
  /** The image is older than the database: a rollback. Nothing is applied; the release must still work as things stand. */
  | { readonly _tag: "Older"; readonly newer: ReadonlyArray<string>; readonly findings: ReadonlyArray<Finding> }
  | { readonly _tag: "UpToDate" }
  | { readonly _tag: "Apply"; readonly pending: ReadonlyArray<MigrationFile> }
  | { readonly _tag: "Refuse"; readonly findings: ReadonlyArray<Finding> }

const edited = (files: ReadonlyArray<MigrationFile>, history: History, severity: Finding["severity"]) =>
  files
    .filter((file) => history.applied.includes(file.name))
    .filter((file) => (history.checksums.get(file.name) ?? file.sha256) !== file.sha256)
    .map(
      (file): Finding => ({
        rule: "history-edited",
        severity,
        what: `${file.name} was edited after it had been applied.`,
        where: `migrations/${file.name}.sql`,
        detail: `applied ${history.checksums.get(file.name)?.slice(0, 12)}, here ${file.sha256.slice(0, 12)} (sha256)`,
        why: "This database ran the text as it was; a new database would run it as it is now. They would differ for ever.",
        fix: `Put the file back as it was (git log -p -- migrations/${file.name}.sql) and write a new migration with the difference.`
      })
    )

/** Compares the files with the history, and says what is to be done or why nothing may be. */
export const plan = (unordered: ReadonlyArray<MigrationFile>, history: History): Plan => {
  const files = [...unordered].sort(byNumber)
  const known = new Set(files.map(({ name }) => name))
  const applied = [...history.applied].sort((a, b) => byNumber({ name: a }, { name: b }))
  const foreign = applied.filter((name) => !known.has(name))
  const pending = files.filter(({ name }) => !history.applied.includes(name))
  const newestFile = files.at(-1)
  const newestApplied = applied.at(-1)

  if (
    foreign.length > 0 &&
    pending.length === 0 &&
    (newestFile === undefined || foreign.every((name) => byNumber({ name }, newestFile) > 0))
  ) {
    // A rollback must not be held up by the history: nothing is going to be applied.
    return { _tag: "Older", newer: foreign, findings: edited(files, history, "note") }
  }

  const findings: Array<Finding> = [...edited(files, history, "hazard")]
  for (const name of foreign) {
    findings.push({
      rule: "history-missing",
      severity: "hazard",
      what: `The database has ${name}, which this release does not contain.`,
      where: `agents.pgmigrations, migrations/`,
      why:
        pending.length > 0
          ? `This release brings migrations of its own (${pending.map((file) => file.name).join(", ")}), so it is no older release: the two come from different branches, or the file was deleted.`
          : "The file was deleted or renamed; a new database would never get it.",
      fix: "Merge the branch that holds the file, or restore the file, and number your own migrations after it."
    })
  }
  for (const file of pending) {
    if (newestApplied !== undefined && byNumber(file, { name: newestApplied }) < 0) {
      findings.push({
        rule: "history-inserted",
        severity: "hazard",
        what: `${file.name} would come before ${newestApplied}, which is applied already.`,
        where: `migrations/${file.name}.sql`,
        why: "Migrations run in order everywhere. This database would run the two the other way round than a new one.",
        fix: `Give it a number after ${newestApplied}.`
      })
    }
    const twin = files.find((other) => other !== file && numberOf(other.name) === numberOf(file.name))
    if (twin !== undefined && (file.name > twin.name || history.applied.includes(twin.name))) {
      findings.push({
        rule: "number-taken",
        severity: "hazard",
        what: `${file.name} and ${twin.name} have the same number.`,
        where: `migrations/${file.name}.sql`,
        why: "Two branches took the same number; which of them runs first would be an accident of the names.",
        fix: "Renumber the one that is not applied anywhere yet."
      })
    }
    findings.push(...findingsOf(file))
  }
  if (findings.length > 0) return { _tag: "Refuse", findings }
  return pending.length === 0 ? { _tag: "UpToDate" } : { _tag: "Apply", pending }
}
