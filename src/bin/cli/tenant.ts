/** `deliver tenant export`, `deliver tenant delete`, `deliver tenant status` */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, text } from "./databaseFlags.ts"
import type { Asked, Counts } from "./tenantData.ts"
import { type Arguments, CliError, type Flag, type Verb } from "./Verb.ts"

const load = Effect.all({
  Data: Effect.promise(() => import("./tenantData.ts")),
  Support: Effect.promise(() => import("./gateSupport.ts"))
})

const usage = (message: string) => new CliError({ exitCode: ExitCode.usage, message })

const answerFor: Readonly<Record<string, Flag>> = {
  by: { type: "string", value: "NAME", description: "who answers for it" },
  why: { type: "string", value: "TEXT", description: "the request that it answers" }
}

const asked = (args: Arguments): Effect.Effect<Asked, CliError> =>
  Effect.gen(function* () {
    const [tenant] = args.positionals as [string]
    const by = yield* text(args, "by")
    const why = yield* text(args, "why")
    if (by === undefined || why === undefined) {
      return yield* usage(`--${by === undefined ? "by" : "why"} is missing: the record says who asked for it and why.`)
    }
    return { tenant, by, why }
  })

const lines = (counts: Counts) => Object.entries(counts).map(([table, n]) => `  ${String(n).padStart(8)}  ${table}`)

export const tenantExportVerb: Verb = {
  name: "tenant export",
  summary: "Write all that a tenant has to a file, as of one moment, with its hash and counts on record",
  example: 'deliver tenant export acme --out acme.ndjson --by ann --why "request 4711"',
  flags: {
    ...databaseFlags,
    ...answerFor,
    out: { type: "string", value: "FILE", description: "a line of JSON for each row" }
  },
  positionals: ["tenant"],
  run: (args) =>
    Effect.gen(function* () {
      const request = yield* asked(args)
      const out = yield* text(args, "out")
      if (out === undefined) return yield* usage("--out is missing: where the export is to be written.")
      const { Data, Support } = yield* load
      const done = yield* Support.withDatabase(args, Data.exportTo(out, request))
      return {
        exitCode: ExitCode.passed,
        text: [
          `Export ${done.job} of ${request.tenant} is in ${out}, sha256 ${done.sha256}:`,
          ...lines(done.counts)
        ].join("\n"),
        json: { ...request, out, ...done }
      }
    })
}

export const tenantDeleteVerb: Verb = {
  name: "tenant delete",
  summary:
    "Remove all that a tenant has, for good; refused while runs are open; cut anywhere, the same command goes on",
  example: 'deliver tenant delete acme --confirm acme --by ann --why "contract ended"',
  flags: {
    ...databaseFlags,
    ...answerFor,
    confirm: { type: "string", value: "TENANT", description: "the tenant once more: nothing brings the data back" }
  },
  positionals: ["tenant"],
  run: (args) =>
    Effect.gen(function* () {
      const request = yield* asked(args)
      if ((yield* text(args, "confirm")) !== request.tenant) {
        return yield* usage(
          `--confirm is not ${request.tenant}: the removal is for good, so the tenant is named twice. "deliver tenant status ${request.tenant}" shows what would go.`
        )
      }
      const { Data, Support } = yield* load
      const done = yield* Support.withDatabase(args, Data.remove(request))
      return {
        exitCode: ExitCode.passed,
        text: [
          `Removal ${done.job} of ${request.tenant} is done. Nothing of it is left; removed were:`,
          ...lines(done.counts)
        ].join("\n"),
        json: { ...request, ...done }
      }
    })
}

export const tenantResumeVerb: Verb = {
  name: "tenant resume",
  summary: "Carry on every removal that was cut, whoever asked for it; made for a schedule; 10 while one is not done",
  example: "DATABASE_SECRET_DIR=/var/run/secrets/agents/database deliver tenant resume",
  flags: databaseFlags,
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { Data, Support } = yield* load
      const removals = yield* Support.withDatabase(args, Data.resume)
      return {
        exitCode: removals.some(({ state }) => state === "running") ? ExitCode.refused : ExitCode.passed,
        text:
          removals.length === 0
            ? "No removal is unfinished."
            : removals
                .map((one) => `Removal ${one.job} of ${one.tenant}: ${one.state === "done" ? "done." : one.why}`)
                .join("\n"),
        json: { removals }
      }
    })
}

export const tenantStatusVerb: Verb = {
  name: "tenant status",
  summary: "What a tenant has, by table, and the record of its exports and removals; 10 while a removal is not done",
  example: "deliver tenant status acme --json",
  flags: databaseFlags,
  positionals: ["tenant"],
  run: (args) =>
    Effect.gen(function* () {
      const [tenant] = args.positionals as [string]
      const { Data, Support } = yield* load
      const found = yield* Support.withDatabase(args, Data.status(tenant))
      return {
        exitCode: found.jobs.some(({ state }) => state === "running") ? ExitCode.refused : ExitCode.passed,
        text: [
          `Tenant ${tenant} has:`,
          ...lines(found.rows),
          ...found.jobs.map(
            ({ id, kind, state, by, why, startedAt, sha256 }) =>
              `${kind} ${id}: ${state}, since ${startedAt}, by ${by}: ${why}${sha256 === null ? "" : `; sha256 ${sha256}`}`
          )
        ].join("\n"),
        json: { tenant, ...found }
      }
    })
}
