/** The journal beside the library's engine: whatever a workflow does, both must do the same for it. */
import { expect, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as FastCheck from "effect/FastCheck"
import { vi } from "vitest"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import { oneRunner } from "../../../test/support/one-runner.ts"
import { answering, anyProgram, carriedOut, Notes, type Program, play } from "../../../test/support/programs.ts"
import type { StepEngineKind } from "../Engine.ts"

vi.setConfig({ testTimeout: 180_000 })

const PROGRAMS = Number(process.env["PROGRAMS"] ?? 40)

const histories = (stepEngine: StepEngineKind, programs: ReadonlyArray<Program>) =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    const notes = new Notes()
    return yield* Effect.gen(function* () {
      yield* Effect.forkScoped(answering(notes))
      return yield* Effect.forEach(programs, (program, index) => play(notes, `program-${index}`, program), {
        concurrency: 20
      })
    }).pipe(
      Effect.scoped,
      Effect.provide(
        carriedOut(notes).pipe(
          Layer.provideMerge(oneRunner(database.urlOf("runtime"), { stepEngine, messageStorage: "group" }))
        )
      )
    )
  })

it.scopedLive("does for generated workflows what the library's engine does", () =>
  Effect.gen(function* () {
    const seed = Number(process.env["SEED"] ?? 1)
    const programs = FastCheck.sample(anyProgram, { numRuns: PROGRAMS, seed })
    const [stock, journal] = yield* Effect.all([histories("stock", programs), histories("journal", programs)])
    for (let index = 0; index < programs.length; index++) {
      expect(journal[index], `seed ${seed}: ${JSON.stringify(programs[index])}`).toEqual(stock[index])
    }
    // A generator that makes nothing of interest would agree as well.
    const ends = stock.map(({ end }) => end.split(":")[0])
    for (const kind of ["success", "failure", "defect"]) expect(ends).toContain(kind)
  })
)
