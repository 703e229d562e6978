/** `deliver surface`, `deliver surface diff OLD NEW` */
import { execFile } from "node:child_process"
import { existsSync } from "node:fs"
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { CliError, type Verb } from "./Verb.ts"

const load = Effect.all({
  Source: Effect.promise(() => import("./surfaceSource.ts")),
  Surface: Effect.promise(() => import("../../surface/Surface.ts")),
  File: Effect.promise(() => import("../../surface/file.ts")),
  Image: Effect.promise(() => import("../../runtime/ImageRoot.ts"))
})

const SHOWN = 40

const reason = (cause: unknown) => (cause instanceof Error ? cause.message.split("\n")[0]! : String(cause))

export const surfaceVerb: Verb = {
  name: "surface",
  summary: "Write what this release promises to work in flight; --check: is the file what the code says?",
  example: "deliver surface --check",
  flags: {
    check: { type: "boolean", description: "write nothing; exit 10 when surface.json is not what the code says" }
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { Source, Surface, File, Image } = yield* load
      const path = join(Image.imageRoot(), File.FILE)
      const surface = yield* Source.currentSurface
      const text = Surface.print(surface)
      const before = yield* Effect.tryPromise(() => readFile(path, "utf8")).pipe(Effect.orElseSucceed(() => undefined))
      const counts = `${Object.keys(surface.workflows).length} workflow(s), ${Object.keys(surface.entities).length} entity(ies), ${Object.keys(surface.events).length} events, ${surface.statements.length} statements, ${surface.migrations.length} migrations`

      if (before === text) {
        return {
          exitCode: ExitCode.passed,
          text: `${File.FILE} is what the code says: ${counts}.`,
          json: { changed: [] }
        }
      }
      const parsed = yield* Effect.try((): unknown => JSON.parse(before ?? "{}")).pipe(Effect.orElseSucceed(() => ({})))
      const changed = File.driftOf(parsed as never, surface)
      const lines = [
        ...changed.slice(0, SHOWN).map((line) => `  ${line}`),
        ...(changed.length > SHOWN ? [`  and ${changed.length - SHOWN} more`] : [])
      ]
      if (args.flags["check"] === true) {
        return {
          exitCode: ExitCode.refused,
          text: [
            before === undefined
              ? `${File.FILE} is missing.`
              : `${File.FILE} is not what the code says${changed.length === 0 ? " (in its layout only)" : ""}:`,
            ...(before === undefined ? [] : lines),
            "Why it matters: gates compare releases by this file, and a reviewer sees in it what a change does to work in flight.",
            `What to do: run "deliver surface" (or "make surface"), read the change, and commit it.`
          ].join("\n"),
          json: { changed }
        }
      }
      yield* Effect.tryPromise({
        try: () => writeFile(path, text),
        catch: (cause) =>
          new CliError({ exitCode: ExitCode.toolFailed, message: `${path} can't be written: ${reason(cause)}.` })
      })
      return {
        exitCode: ExitCode.passed,
        text: [`${File.FILE} written: ${counts}.`, ...(before === undefined ? [] : lines)].join("\n"),
        json: { changed }
      }
    })
}

/** A file, or a commit (branch, tag) whose `surface.json` is meant. */
const surfaceAt = (where: string) =>
  Effect.gen(function* () {
    const { Surface, File } = yield* load
    const missing = (cause: string) =>
      new CliError({
        exitCode: ExitCode.preconditionMissing,
        message: `There is no surface at "${where}": it is no file, and ${cause}. Name a file, or a commit that has ${File.FILE}.`
      })
    const text = existsSync(where)
      ? yield* Effect.tryPromise({ try: () => readFile(where, "utf8"), catch: (cause) => missing(reason(cause)) })
      : yield* Effect.tryPromise({
          try: () => promisify(execFile)("git", ["show", `${where}:${File.FILE}`], { maxBuffer: 64 * 1024 * 1024 }),
          catch: (cause) => missing(reason(cause).replace(/^Command failed: /, "this fails: "))
        }).pipe(Effect.map(({ stdout }) => stdout))
    return yield* Surface.parse(text, where).pipe(
      Effect.mapError(
        ({ newer, message }) =>
          new CliError({ exitCode: newer ? ExitCode.undecided : ExitCode.preconditionMissing, message })
      )
    )
  })

const heading = { refuse: "REFUSED", undecided: "UNDECIDED", note: "note" } as const

export const surfaceDiffVerb: Verb = {
  name: "surface diff",
  summary: "Could NEW carry on what OLD began, and OLD what NEW began? Files, or commits",
  example: "deliver surface diff main surface.json",
  flags: {},
  positionals: ["OLD", "NEW"],
  run: (args) =>
    Effect.gen(function* () {
      const { compare } = yield* Effect.promise(() => import("../../surface/Compare.ts"))
      const [old, now] = yield* Effect.all([surfaceAt(args.positionals[0]!), surfaceAt(args.positionals[1]!)])
      const differences = compare(old, now)
      const has = (verdict: string) => differences.some((difference) => difference.verdict === verdict)
      const exitCode = has("refuse") ? ExitCode.refused : has("undecided") ? ExitCode.undecided : ExitCode.passed
      const verdict =
        exitCode === ExitCode.refused
          ? "REFUSED: with work in flight, this change strands it."
          : exitCode === ExitCode.undecided
            ? "UNDECIDED: a person must look."
            : "PASSED: either can carry on what the other began."
      return {
        exitCode,
        text: [
          `surface diff: ${verdict}`,
          ...differences.flatMap(({ verdict, name, what, why, fix, rule }) => [
            "",
            `${heading[verdict]}  ${what}`,
            `  where   ${name}`,
            `  why     ${why}`,
            `  do      ${fix}`,
            `  rule    ${rule}`
          ]),
          "",
          `Compared ${Object.keys(old.workflows).length} workflow(s), ${Object.keys(old.entities).length} entity(ies) and ${Object.keys(old.events).length} events, assuming open work everywhere. The gate in a target asks its database instead.`
        ].join("\n"),
        json: { exitCode, differences }
      }
    })
}
