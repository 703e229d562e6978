/**
 * The part of the corpus that is edits of the source, judged by the real commands on an edited copy. Each starts a process of
 * its own, so `make test` takes a few of them and `make hazards` all.
 */
import { execFile } from "node:child_process"
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Schema, type Scope } from "effect"
import { afterAll, beforeAll, describe } from "vitest"
import { agentWorkflow } from "../../src/agent/AgentWorkflow.ts"
import { migratedDatabase } from "../support/migrated-database.ts"
import { engine } from "../support/open-work.ts"
import { until } from "../support/wait.ts"

const root = join(import.meta.dirname, "../..")

const Hazard = Schema.parseJson(
  Schema.Struct({
    title: Schema.NonEmptyString,
    gate: Schema.Literal("surface", "workflows"),
    expect: Schema.NullOr(Schema.NonEmptyString),
    edits: Schema.NonEmptyArray(
      Schema.Struct({ file: Schema.String, find: Schema.NonEmptyString, replace: Schema.String })
    )
  })
)

const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith(".json"))
const hazards = await Promise.all(
  names.map(async (name) => ({
    name: name.replace(".json", ""),
    ...Schema.decodeSync(Hazard)(await readFile(join(import.meta.dirname, name), "utf8"))
  }))
)
type Hazard = (typeof hazards)[number]

const few = ["rename-activity", "harmless-new-activity", "remove-event"]
const judged = process.env["HAZARDS"] === "all" ? hazards : hazards.filter(({ name }) => few.includes(name))

/** A copy of what the commands need. Editing the work tree itself would race with every other test. */
const editedCopy = (hazard: Hazard): Effect.Effect<string, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const folder = await mkdtemp(join(tmpdir(), "agents-hazard-"))
      for (const part of ["src", "migrations", "package.json", "surface.json"]) {
        await cp(join(root, part), join(folder, part), { recursive: true })
      }
      await symlink(join(root, "node_modules"), join(folder, "node_modules"))
      for (const { file, find, replace } of hazard.edits) {
        const text = await readFile(join(folder, file), "utf8")
        await writeFile(
          join(folder, file),
          text.replace(find, () => replace)
        )
      }
      return folder
    }),
    (folder) => Effect.promise(() => rm(folder, { recursive: true, force: true }))
  )

interface Ended {
  readonly exitCode: number
  readonly text: string
}

/** Several commands in one process, which ends with the first that does not pass: starting Node is most of the time. */
const runner = `
const { runVerb } = await import(process.env.HAZARD_ROOT + "/src/bin/cli/Verb.ts")
const { surfaceVerb, surfaceDiffVerb } = await import(process.env.HAZARD_ROOT + "/src/bin/cli/surface.ts")
const { gateWorkflowsVerb } = await import(process.env.HAZARD_ROOT + "/src/bin/cli/gate-workflows.ts")
const { Effect } = await import("effect")
for (const argv of JSON.parse(process.env.HAZARD_COMMANDS)) {
  const outcome = await Effect.runPromise(runVerb([surfaceVerb, surfaceDiffVerb, gateWorkflowsVerb], argv).pipe(
    Effect.catchAll((error) => Effect.succeed({ exitCode: error.exitCode, text: error.message }))))
  console.log(outcome.text)
  process.exitCode = outcome.exitCode
  if (outcome.exitCode !== 0) break
}`

const deliver = (folder: string, ...commands: ReadonlyArray<ReadonlyArray<string>>): Effect.Effect<Ended> =>
  Effect.async((resume) => {
    const env = {
      ...process.env,
      AGENT_IMAGE_ROOT: folder,
      HAZARD_ROOT: folder,
      HAZARD_COMMANDS: JSON.stringify(commands),
      NODE_OPTIONS: "",
      // Our own sources lie in another folder each time; the packages they load do not.
      NODE_COMPILE_CACHE: join(root, "node_modules/.cache/hazards")
    }
    const args = ["--input-type=module", "--eval", runner]
    execFile(process.execPath, args, { cwd: folder, env }, (error, out, err) =>
      resume(
        Effect.succeed({
          exitCode: typeof error?.code === "number" ? error.code : error === null ? 0 : -1,
          text: `${out}${err}`
        })
      )
    )
  })

/** A run that was planned and waits for its approval; then the runner that carried it is gone. */
const waitingRun = (url: string, query: (text: string) => Effect.Effect<ReadonlyArray<{ n: number }>>) =>
  agentWorkflow.workflow
    .execute({ tenantId: "acme", sessionId: "s", runId: "r", message: "approve this", model: "local" } as never, {
      discard: true
    })
    .pipe(
      Effect.zipRight(
        until(
          "the run waits for approval",
          query("select count(*)::int as n from cluster.cluster_replies where payload like '%Suspended%'"),
          ([row]) => row?.n === 1
        )
      ),
      Effect.provide(
        agentWorkflow
          .toLayer(
            (_, steps) =>
              Effect.gen(function* () {
                yield* steps.plan(Effect.succeed({ calls: [], approval: "asked for" }))
                const answer = yield* steps.callModel(Effect.succeed({ text: "hi", inputTokens: 1, outputTokens: 1 }))
                yield* steps.requestApproval(Effect.void)
                yield* steps.approval
                return answer
              }),
            { onCancelled: () => Effect.void }
          )
          .pipe(Layer.provideMerge(engine(url)))
      ),
      Effect.scoped
    )

describe("edits of the source", () => {
  it("has hazards and harmless changes", () => {
    expect(hazards.filter((hazard) => hazard.expect !== null).length).toBeGreaterThanOrEqual(6)
    expect(hazards.filter((hazard) => hazard.expect === null).length).toBeGreaterThanOrEqual(3)
  })

  it.each(hazards)("$name still applies: each text is in its file exactly once", async ({ edits }) => {
    for (const { file, find } of edits) {
      const text = await readFile(join(root, file), "utf8")
      expect(text.split(find).length - 1, `${JSON.stringify(find)} in ${file}`).toBe(1)
    }
  })
})

describe("surface diff", () => {
  it.scopedLive.each(judged.filter(({ gate }) => gate === "surface"))("judges: $title", (hazard) =>
    Effect.gen(function* () {
      const folder = yield* editedCopy(hazard)
      const { exitCode, text } = yield* deliver(
        folder,
        ["surface"],
        ["surface", "diff", join(root, "surface.json"), "surface.json"]
      )
      if (hazard.expect === null) return expect(exitCode, text).toBe(0)
      expect(exitCode, text).toBe(10)
      expect(text).toContain(hazard.expect)
    })
  )
})

const gate = (url: string) => ["gate", "workflows", "--release", "after", "--database-url", url]

describe("gate workflows, with a run that waits for its approval", () => {
  let url = ""
  let close: () => Promise<void>

  beforeAll(async () => {
    const ready = Promise.withResolvers<void>()
    const done = Promise.withResolvers<void>()
    const life = Effect.runPromise(
      Effect.scoped(
        Effect.gen(function* () {
          const database = yield* migratedDatabase
          yield* waitingRun(database.url, (text) => database.query<{ n: number }>(text))
          yield* database.query(
            "insert into agents.releases (release, surface, state) values ('before', $1, 'deployed')",
            [yield* Effect.promise(() => readFile(join(root, "surface.json"), "utf8"))]
          )
          url = database.urlOf("reader")
          ready.resolve()
          yield* Effect.promise(() => done.promise)
        })
      )
    )
    close = () => {
      done.resolve()
      return life
    }
    await Promise.race([ready.promise, life])
  })
  afterAll(() => close())

  it.scopedLive.each(judged.filter(({ gate }) => gate === "workflows"))("judges: $title", (hazard) =>
    Effect.gen(function* () {
      const folder = yield* editedCopy(hazard)
      const { exitCode, text } = yield* deliver(folder, ["surface"], gate(url))
      if (hazard.expect === null) return expect(exitCode, text).toBe(0)
      expect(exitCode, text).toBe(10)
      expect(text).toContain("gate workflows: REFUSED")
      expect(text).toContain(hazard.expect)
      expect(text).toContain("kept in agents.evidence")
    })
  )

  it.scopedLive("refuses an image whose surface.json is not what its code says", () =>
    Effect.gen(function* () {
      const folder = yield* editedCopy(hazards.find(({ name }) => name === "harmless-new-activity")!)
      const { exitCode, text } = yield* deliver(folder, gate(url))
      expect(exitCode, text).toBe(10)
      expect(text).toContain("surface.json of this image is not what its code says")
    })
  )
})
