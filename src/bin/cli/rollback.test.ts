/** The verb against the rehearsal's own server and a real database: what it chooses, makes, cancels and refuses. */
import { execFile } from "node:child_process"
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../../test/support/migrated-database.ts"
import {
  awaitState,
  BAD,
  GOOD,
  make,
  PIPELINE,
  prepare,
  type TestServer
} from "../../../test/support/rehearsal-server.ts"

const repository = join(import.meta.dirname, "../../..")
const surface = readFileSync(join(repository, "surface.json"), "utf8")
const commit = (n: number) => String(n).repeat(40)

const record = (
  database: MigratedDatabase,
  n: number,
  state: string,
  deployedMinutesAgo: number | null,
  json: string = surface
) =>
  database.query(
    `insert into agents.releases (release, surface, state, target, rollout, recorded_at, deployed_at)
     values ($1, $2, $3, 'dev', $4, now() - make_interval(mins => $5), now() - make_interval(mins => $6))`,
    [commit(n), json, state, `r-${n}-to-dev-0001`, 1000 - n, deployedMinutesAgo]
  )

const deliver = (env: Readonly<Record<string, string>>, ...words: ReadonlyArray<string>) =>
  Effect.async<{ readonly code: number; readonly out: string; readonly err: string }>((resume) => {
    const args = [join(repository, "src/bin/deliver.ts"), "rollback", ...words]
    execFile(process.execPath, args, { env: { PATH: process.env["PATH"], ...env } }, (error, stdout, stderr) =>
      resume(Effect.succeed({ code: error === null ? 0 : Number(error.code), out: stdout, err: stderr }))
    )
  })

const rollout = (n: number) => `${PIPELINE}/releases/r-${n}/rollouts/r-${n}-to-dev-0001`

const release = (server: TestServer, n: number, image: string) =>
  Effect.gen(function* () {
    yield* prepare(server, String(n), image)
    yield* server.call("POST", `v1/${PIPELINE}/releases/r-${n}/rollouts?rolloutId=r-${n}-to-dev-0001`, {
      targetId: "dev"
    })
  })

describe("deliver rollback", () => {
  it.scopedLive(
    "goes back to the last release that was good, past a failed one and past one that is stuck",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 1 })
        yield* server.start
        const database = yield* migratedDatabase
        const where = ["dev", "--database-url", database.urlOf("migrator"), "--delivery-pipeline", "tiny"]
        const back = (...more: ReadonlyArray<string>) => deliver(server.environment(), ...where, ...more)

        yield* release(server, 1, GOOD)
        yield* awaitState(server, rollout(1), ["SUCCEEDED"])
        yield* release(server, 2, GOOD)
        yield* awaitState(server, rollout(2), ["SUCCEEDED"])
        yield* release(server, 3, BAD)
        yield* awaitState(server, rollout(3), ["FAILED"])
        yield* record(database, 1, "rollback-choice", 600)
        yield* record(database, 2, "deployed", 300)
        yield* record(database, 3, "deploying", null)

        const looked = yield* back("--dry-run")
        expect(looked, looked.out + looked.err).toMatchObject({ code: 0 })
        expect(looked.out).toContain(`${commit(3)} -> ${commit(2)} (release r-2)`)
        expect(looked.out).toContain("gate rollback workflows: PASSED")
        expect(looked.out).toContain("gate rollback migrations: PASSED")
        expect(looked.out).toContain("gcloud deploy targets rollback dev --release=r-2")

        const made = yield* back("--json")
        expect(made, made.out + made.err).toMatchObject({ code: 0 })
        const told = JSON.parse(made.out) as { readonly rollout: { readonly rollout: string } }
        expect(told.rollout.rollout).toContain("/releases/r-2/rollouts/")
        yield* awaitState(server, told.rollout.rollout, ["SUCCEEDED"])

        // A release whose verify never ends: Cloud Deploy would let a rollback wait behind it.
        const file = join(server.source, "smoke.yaml")
        const job = readFileSync(file, "utf8")
        yield* Effect.promise(() => writeFile(file, job.replace('TAKES_MS, value: "1"', 'TAKES_MS, value: "50000"')))
        yield* release(server, 4, GOOD)
        yield* record(database, 4, "deploying", null)
        yield* awaitState(server, rollout(4), ["IN_PROGRESS"])
        const freed = yield* back()
        expect(freed, freed.out + freed.err).toMatchObject({ code: 0 })
        expect(freed.out).toContain("Cancelled r-4-to-dev-0001")
        yield* awaitState(server, rollout(4), ["CANCELLED"])
        const id = /^Rollout (\S+) is/m.exec(freed.out)![1]
        yield* awaitState(server, `${PIPELINE}/releases/r-2/rollouts/${id}`, ["SUCCEEDED"])
      }),
    { timeout: 180_000 }
  )

  it.scopedLive("refuses with both verdicts when the older release can't carry what is open or read the schema", () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const older = JSON.parse(surface) as { workflows: object; statements: Array<object> }
      older.statements.push({ name: "gone.read", text: "select gone from agents.runs where gone = $1" })
      yield* record(database, 1, "rollback-choice", 600, JSON.stringify({ ...older, workflows: {} }))
      yield* record(database, 2, "deployed", 300)
      yield* database.query(
        `insert into cluster.cluster_messages (id, request_id, message_id, shard_id, entity_type, entity_id, kind, tag, payload, headers)
         values (1, 1, 'm', 'default:1', 'Workflow/AgentWorkflow', 'e1', 0, 'run', '{}', '{}')`
      )
      const where = ["dev", "--database-url", database.urlOf("migrator"), "--dry-run"]
      const refused = yield* deliver({}, ...where)
      expect(refused, refused.err).toMatchObject({ code: 10 })
      expect(refused.out).toContain("gate rollback workflows: REFUSED")
      expect(refused.out).toContain("open executions of AgentWorkflow")
      expect(refused.out).toContain("gate rollback migrations: REFUSED")
      expect(refused.out).toContain("gone.read")
      expect(refused.out).toContain("Ways out")

      expect((yield* deliver({}, ...where, "--to", "nothing")).code).toBe(10)
      expect((yield* deliver({}, ...where, "--settled", "1000")).code).toBe(11)
      expect((yield* deliver({}, "prod", "--database-url", database.urlOf("migrator"), "--dry-run")).code).toBe(12)
      const nowhere = yield* deliver({}, "dev", "--database-url", database.urlOf("migrator"))
      expect(nowhere).toMatchObject({ code: 12 })
      expect(nowhere.err).toContain("--project and --region")
      expect((yield* deliver({}, ...where, "--settled", "soon")).code).toBe(2)
    })
  )
})
