/** `deliver evidence` */
import { writeFile } from "node:fs/promises"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, text } from "./databaseFlags.ts"
import { CliError, type Verb } from "./Verb.ts"

const load = Effect.all({
  Evidence: Effect.promise(() => import("../../gates/Evidence.ts")),
  Page: Effect.promise(() => import("../../gates/EvidencePage.ts")),
  Store: Effect.promise(() => import("../../gates/EvidenceStore.ts")),
  Support: Effect.promise(() => import("./gateSupport.ts"))
})

export const evidenceVerb: Verb = {
  name: "evidence",
  summary: "What the gates saw of a release and how they decided; without RELEASE, the last word about each",
  example: "deliver evidence 4f2a91c --html evidence.html",
  flags: {
    ...databaseFlags,
    gate: { type: "string", value: "NAME", description: "only this gate: workflows, migrations, …" },
    html: { type: "string", value: "FILE", description: "write a page that needs nothing else" }
  },
  positionals: ["release?"],
  run: (args) =>
    Effect.gen(function* () {
      const { Evidence, Page, Store, Support } = yield* load
      const gate = yield* text(args, "gate")
      const file = yield* text(args, "html")
      const [release] = args.positionals
      if (release === undefined) {
        if (file !== undefined) {
          return yield* new CliError({
            exitCode: ExitCode.usage,
            message: "--html needs a RELEASE: a page is about one."
          })
        }
        const rows = (yield* Support.withDatabase(args, Store.latest)).filter(
          (row) => gate === undefined || row.gate === gate
        )
        return {
          exitCode: ExitCode.passed,
          text:
            rows.length === 0
              ? "No evidence is kept here."
              : rows
                  .map(
                    (row) =>
                      `${row.release.padEnd(40)}  ${row.gate.padEnd(11)}  ${row.verdict.padEnd(9)}  ${(row.target ?? "-").padEnd(8)}  ${row.recordedAt.toISOString()}`
                  )
                  .join("\n"),
          json: { evidence: rows.map((row) => ({ ...row, recordedAt: row.recordedAt.toISOString() })) }
        }
      }
      const kept = yield* Support.withDatabase(args, Store.ofRelease(release))
      const records = kept.records.filter((record) => gate === undefined || record.gate === gate)
      const unreadable =
        kept.unreadable === 0
          ? ""
          : `${kept.unreadable} record(s) can't be read by this image: they are of another format. Ask with a newer image.`
      if (records.length === 0) {
        return yield* new CliError({
          exitCode: ExitCode.preconditionMissing,
          message: `No evidence${gate === undefined ? "" : ` of gate ${gate}`} about release ${kept.release} is kept here.${unreadable === "" ? "" : ` ${unreadable}`}`
        })
      }
      if (file !== undefined) {
        yield* Effect.tryPromise({
          try: () => writeFile(file, Page.toHtml(records)),
          catch: (cause) =>
            new CliError({
              exitCode: ExitCode.toolFailed,
              message: `${file} can't be written: ${cause instanceof Error ? cause.message : cause}. Name another file; nothing else was changed.`
            })
        })
      }
      return {
        exitCode: ExitCode.passed,
        text: [
          ...(file === undefined
            ? records.map(Evidence.toText)
            : [
                `${Page.verdictOfAll(records)}: ${records.length} record(s) of release ${kept.release}, written to ${file}`
              ]),
          ...(unreadable === "" ? [] : [unreadable])
        ].join("\n\n"),
        json: {
          release: kept.release,
          verdict: Page.verdictOfAll(records),
          records: records.map(Evidence.toJson),
          unreadable: kept.unreadable
        }
      }
    })
}
