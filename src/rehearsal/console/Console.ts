/** The console's paths. Its page is for everyone on this machine and holds nothing; what it shows and does needs its session. */
import { Effect } from "effect"
import type { ToolFailed } from "../Errors.ts"
import { fail, GoogleError } from "../engine/GoogleError.ts"
import { type JobRun, parentOf, type Rollout } from "../engine/Resources.ts"
import { Store } from "../engine/Store.ts"
import type { Host } from "../host/HostClient.ts"
import * as Assets from "./Assets.ts"
import * as EvidenceOf from "./EvidenceOf.ts"
import type { Load } from "./Load.ts"
import { page, type Reply, redirect } from "./Reply.ts"
import { cookie, same } from "./Session.ts"
import * as Snapshot from "./Snapshot.ts"

export interface ConsoleOptions {
  readonly host: Host
  readonly load: Load
  readonly clockScale: number
  readonly consoleToken: string
}

/** What a job has printed, from the given line on: while it runs from the host, then from what was kept. */
const log = (host: Host, name: string, from: number) =>
  Effect.gen(function* () {
    const store = yield* Store
    const run = yield* store.get<JobRun>(name)
    const kept = yield* store.logOf(name)
    if (kept !== undefined) return { ended: true, lines: kept.slice(from) }
    const rollout = yield* store.get<Rollout>(parentOf(name))
    const phase = rollout.phases.find(({ id }) => id === run.phaseId)
    const job = phase?.deploymentJobs[`${run.jobId}Job`]
    const actions = (job?.[`${run.jobId}Job`] as { readonly actions?: ReadonlyArray<string> } | undefined)?.actions
    const lines: Array<string> = []
    for (const action of actions ?? ["smoke"]) {
      const { lines: printed } = yield* host
        .call("jobLog", { key: `${run.uid}-${action}`, from: 0 })
        .pipe(Effect.orElseSucceed(() => ({ lines: [] as ReadonlyArray<string> })))
      if (printed.length > 0) lines.push(`== ${action}`, ...printed)
    }
    return { ended: false, lines: lines.slice(from) }
  })

export const make = ({ host, load, clockScale, consoleToken }: ConsoleOptions) =>
  Effect.gen(function* () {
    const assets = yield* Assets.make
    const asset = (choose: (all: Assets.Assets) => Reply) =>
      assets.pipe(
        Effect.map(choose),
        Effect.mapError(({ message }: ToolFailed) => new GoogleError({ status: "INTERNAL", message }))
      )
    return {
      /** What needs no session: the page's files, which are no secret, and the login. */
      open: (method: string, url: URL, port: number): Effect.Effect<Reply, GoogleError> | undefined => {
        if (method !== "GET") return undefined
        switch (url.pathname) {
          case "/":
          case "/console":
            return Effect.succeed(redirect("/console/"))
          case "/console/":
            return asset(({ html }) => page("text/html", html))
          case "/console/main.js":
            return asset(({ script }) => page("text/javascript", script))
          case "/console/style.css":
            return asset(({ style }) => page("text/css", style))
          case "/console/login":
            return same(url.searchParams.get("token") ?? "", consoleToken)
              ? Effect.succeed(redirect("/console/", { "set-cookie": cookie(consoleToken, port) }))
              : fail("UNAUTHENTICATED", 'This link is not the one that "deliver serve" printed last.')
          default:
            return undefined
        }
      },
      /** What the session opens. */
      closed: (url: URL): Effect.Effect<unknown, GoogleError, Store> | undefined => {
        const asked = url.searchParams
        switch (url.pathname) {
          case "/console/state":
            return Snapshot.take(host, load, clockScale)
          case "/console/log":
            return log(host, asked.get("jobRun") ?? "", Math.max(0, Number(asked.get("from") ?? 0) || 0))
          case "/console/evidence":
            return Effect.gen(function* () {
              const store = yield* Store
              return yield* EvidenceOf.page(host, yield* store.get<Rollout>(asked.get("rollout") ?? ""))
            })
          default:
            return undefined
        }
      }
    }
  })
