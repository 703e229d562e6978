/** `deliver engine poisoned`, `deliver engine repair`, `deliver engine prune` */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, limit, limitFlag, text } from "./databaseFlags.ts"
import { CliError, type Verb } from "./Verb.ts"

const load = Effect.all({
  EngineTables: Effect.promise(() => import("../../data/EngineTables.ts")),
  Repair: Effect.promise(() => import("./engineRepair.ts")),
  Support: Effect.promise(() => import("./gateSupport.ts")),
  State: Effect.promise(() => import("../../gates/migrations/State.ts"))
})

export const enginePoisonedVerb: Verb = {
  name: "engine poisoned",
  summary: "Open executions that the engine answered for good with a failure of its own; none go on by themselves",
  example: "deliver engine poisoned --json",
  flags: databaseFlags,
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const { EngineTables, Support, State } = yield* load
      const found = yield* Support.withDatabase(args, EngineTables.poisoned.pipe(Effect.mapError(State.fromSqlError)))
      return {
        exitCode: found.length === 0 ? ExitCode.passed : ExitCode.refused,
        text:
          found.length === 0
            ? "Nothing is poisoned."
            : [
                ...found.map(
                  (one) =>
                    `${one.executionId}  ${one.workflow}  ${one.tag}  run ${one.tenantId ?? "-"}/${one.runId ?? "-"}\n    ${one.defect}`
                ),
                'Once every runner carries what is missing: deliver engine repair EXECUTION --by NAME --why "…"'
              ].join("\n"),
        json: { poisoned: found }
      }
    })
}

export const engineRepairVerb: Verb = {
  name: "engine repair",
  summary: "Take the poisoned answers of an execution back, so that it goes on; who, when, what and why are kept",
  example: 'deliver engine repair b6e5… --by ann --why "2.3 was rolled back; all runners carry AgentWorkflow again"',
  flags: {
    ...databaseFlags,
    by: { type: "string", value: "NAME", description: "who answers for it" },
    why: { type: "string", value: "TEXT", description: "what made it, and why it can go on now" }
  },
  positionals: ["execution"],
  run: (args) =>
    Effect.gen(function* () {
      const [execution] = args.positionals as [string]
      const by = yield* text(args, "by")
      const why = yield* text(args, "why")
      if (by === undefined || why === undefined) {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message: `--${by === undefined ? "by" : "why"} is missing: a repair changes what the engine believes, and its record says who did it and why.`
        })
      }
      const { Repair, Support } = yield* load
      const repaired = yield* Support.withDatabase(args, Repair.repair({ execution, by, why }))
      return {
        exitCode: ExitCode.passed,
        text: [
          ...repaired.map(
            ({ workflow, tag, messageId }) => `${workflow}: message ${messageId} (${tag}) is open again.`
          ),
          "Its shard's runner reads it within a second. The record is in agents.engine_repairs."
        ].join("\n"),
        json: { execution, by, why, repaired }
      }
    })
}

export const enginePruneVerb: Verb = {
  name: "engine prune",
  summary: "Remove executions that ended before their tenant's window, now; a runner does so all day",
  example: "deliver engine prune --limit 10000",
  flags: {
    ...databaseFlags,
    limit: limitFlag("executions", "remove")
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const most = yield* limit(args, "executions")
      const { EngineTables, Support, State } = yield* load
      const removed = yield* Support.withDatabase(
        args,
        Effect.gen(function* () {
          let executions = 0
          let messages = 0
          for (const shard of yield* EngineTables.shards) {
            while (executions < most) {
              const batch = Math.min(EngineTables.BATCH, most - executions)
              const one = yield* EngineTables.removeFrom(shard, batch)
              executions += one.executions
              messages += one.messages
              if (one.executions < batch) break
            }
          }
          return { executions, messages }
        }).pipe(Effect.mapError(State.fromSqlError))
      )
      return {
        exitCode: ExitCode.passed,
        text: `Removed ${removed.executions} finished execution(s), ${removed.messages} message(s).`,
        json: removed
      }
    })
}
