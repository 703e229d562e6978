/** `deliver drill list`, `deliver drill NAME`. */
import { Effect, type Scope } from "effect"
import pg from "pg"
import { ExitCode } from "../../domain/ExitCode.ts"
import { DrillAborted, type Journal, type Surroundings } from "../../drills/Drill.ts"
import * as GatewayClient from "../../drills/GatewayClient.ts"
import * as Invariants from "../../drills/Invariants.ts"
import * as KubernetesApi from "../../drills/KubernetesApi.ts"
import * as LockSessions from "../../drills/LockSessions.ts"
import { drills } from "../../drills/registry.ts"
import * as Restore from "../../drills/restore/Restore.ts"
import * as Database from "../../gates/Database.ts"
import { CliError, type Verb } from "./Verb.ts"

const missing = (message: string) => new CliError({ exitCode: ExitCode.preconditionMissing, message })

const required = (name: string, what: string) =>
  Effect.suspend(() => {
    const value = process.env[name]
    return value === undefined || value === ""
      ? missing(`${name} is not set: ${what}. A drill runs as a pod of the target; see k8s/components/drills/.`)
      : Effect.succeed(value)
  })

/** The token that the platform gives this process for the gateway, as Google's metadata server does. */
const platformToken = (audience: string) => {
  const host = process.env["GCE_METADATA_HOST"] ?? "metadata.google.internal"
  const url = `http://${host}/computeMetadata/v1/instance/service-accounts/default/identity?audience=${encodeURIComponent(audience)}`
  return Effect.tryPromise({
    try: async (signal) => {
      const response = await fetch(url, {
        headers: { "metadata-flavor": "Google" },
        signal: AbortSignal.any([signal, AbortSignal.timeout(10_000)])
      })
      if (!response.ok) throw new Error(`it answered ${response.status}`)
      return (await response.text()).trim()
    },
    catch: (cause) =>
      missing(
        `No identity token from the metadata server at ${host}: ${cause instanceof Error ? cause.message : cause}`
      )
  })
}

/** Asks the database as role `drill`, with the mounted secret. */
const database = (folder: string): Effect.Effect<pg.Pool, CliError, Scope.Scope> =>
  Effect.gen(function* () {
    const settings = yield* Database.fromSecret(folder).pipe(
      Effect.mapError(({ exitCode, message }) => new CliError({ exitCode, message }))
    )
    return yield* Effect.acquireRelease(
      Effect.sync(() => {
        const pool = new pg.Pool({ ...Database.connection(settings), max: 2, application_name: "drill" })
        pool.on("error", () => {})
        return pool
      }),
      (pool) => Effect.promise(() => pool.end())
    )
  })

const surroundings: Effect.Effect<Surroundings, CliError, Scope.Scope> = Effect.gen(function* () {
  const gatewayUrl = yield* required("GATEWAY_URL", "where the gateway is")
  const audience = yield* required("IDENTITY_AUDIENCE", "for whom the gateway's tokens are (ConfigMap agent-platform)")
  const secret = yield* required("DATABASE_SECRET_DIR", "the folder of the mounted database secret")
  const kubernetes = KubernetesApi.optionsFromEnv(process.env)
  if (kubernetes === undefined) {
    return yield* missing(
      "Neither KUBERNETES_API_URL nor KUBERNETES_SERVICE_HOST is set: a drill runs as a pod of the target."
    )
  }
  const pool = yield* database(secret)
  const token = yield* platformToken(audience)
  const query = <Row extends object>(text: string, values: ReadonlyArray<unknown>) =>
    Effect.tryPromise({
      try: async () => (await pool.query<Row>(text, [...values])).rows,
      catch: (cause) =>
        new DrillAborted({ message: `The database did not answer: ${cause instanceof Error ? cause.message : cause}` })
    })
  const ask: Invariants.Query<DrillAborted> = <Row extends object>(text: string, pattern: string) =>
    query<Row>(text, [pattern])
  return {
    gateway: GatewayClient.make({ baseUrl: gatewayUrl, token: Effect.succeed(token) }),
    kubernetes: KubernetesApi.make(kubernetes),
    locks: LockSessions.make(query),
    invariant: (prefix) => Invariants.check("database", ask, `${prefix}%`),
    log: (line) => Effect.sync(() => process.stderr.write(`${line}\n`))
  }
})

const print = (journal: Journal): string =>
  [
    `${journal.drill}: ${journal.status}`,
    `  hypothesis  ${journal.hypothesis}`,
    ...journal.method.map((activity) => `  ${activity.type.padEnd(10)}  ${activity.name}`),
    `  fault       ${journal.fault ?? "did not happen: this drill has shown nothing"}`,
    `  takeover    ${journal.takeoverMs === null ? "not seen" : `${(journal.takeoverMs / 1000).toFixed(1)} s`}`,
    `  recovery    ${journal.recoveryMs === null ? "not within its limit" : `${(journal.recoveryMs / 1000).toFixed(1)} s`}`,
    `  lost        ${journal.steadyState.after.executionsLost} of ${journal.steadyState.after.runs}`,
    `  doubled     ${journal.steadyState.after.eventsDoubled}`,
    ...journal.steadyState.after.findings.map((finding) => `  ${finding}`)
  ].join("\n")

const exitCodes: Readonly<Record<Journal["status"], ExitCode>> = {
  completed: ExitCode.passed,
  deviated: ExitCode.refused,
  "no-fault": ExitCode.undecided
}

export const drillVerb: Verb = {
  name: "drill",
  summary: "break one thing on purpose and show that nothing accepted is lost or doubled; `list` names the drills",
  example: "deliver drill kill-runner",
  flags: {},
  positionals: ["NAME"],
  run: ({ positionals: [name] }) =>
    Effect.gen(function* () {
      if (name === "list") {
        return {
          exitCode: ExitCode.passed,
          text: [...drills, Restore].map(({ name, summary }) => `${name.padEnd(16)} ${summary}`).join("\n"),
          json: [...drills, Restore].map(({ name, summary, hypothesis }) => ({ name, summary, hypothesis }))
        }
      }
      const drill = drills.find((candidate) => candidate.name === name)
      if (drill === undefined) {
        return yield* new CliError({
          exitCode: ExitCode.usage,
          message: `There is no drill "${name}". There are: ${[...drills, Restore].map((candidate) => candidate.name).join(", ")}.`
        })
      }
      const journal = yield* Effect.scoped(
        surroundings.pipe(
          Effect.flatMap((around) =>
            drill.run(around).pipe(
              Effect.mapError(
                (error) =>
                  new CliError({
                    exitCode: ExitCode.toolFailed,
                    message: `${drill.name} was aborted: ${error.message}`
                  })
              )
            )
          )
        )
      )
      return { exitCode: exitCodes[journal.status], text: print(journal), json: journal }
    })
}
