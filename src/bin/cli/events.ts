/** `deliver events keep` */
import { Effect } from "effect"
import { ExitCode } from "../../domain/ExitCode.ts"
import { databaseFlags, limit, limitFlag } from "./databaseFlags.ts"
import type { Verb } from "./Verb.ts"

const load = Effect.all({
  EventRetention: Effect.promise(() => import("../../events/EventRetention.ts")),
  Support: Effect.promise(() => import("./gateSupport.ts")),
  State: Effect.promise(() => import("../../gates/migrations/State.ts"))
})

export const eventsKeepVerb: Verb = {
  name: "events keep",
  summary:
    "Move ended runs' events to their day, make the coming days' partitions, drop those that are over; a runner does so all day",
  example: "deliver events keep --limit 10000",
  flags: {
    ...databaseFlags,
    limit: limitFlag("runs", "move")
  },
  positionals: [],
  run: (args) =>
    Effect.gen(function* () {
      const most = yield* limit(args, "runs")
      const { EventRetention, Support, State } = yield* load
      const kept = yield* Support.withDatabase(
        args,
        EventRetention.keep({ limit: most }).pipe(Effect.mapError(State.fromSqlError))
      )
      return {
        exitCode: ExitCode.passed,
        text: [
          `Moved ${kept.events} event(s) of ${kept.runs} ended run(s).`,
          `Partitions made: ${kept.made.length === 0 ? "none" : kept.made.join(", ")}.`,
          `Partitions dropped: ${kept.dropped.length === 0 ? "none" : kept.dropped.join(", ")}.`
        ].join("\n"),
        json: kept
      }
    })
}
