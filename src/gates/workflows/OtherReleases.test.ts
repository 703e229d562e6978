import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { migratedDatabase } from "../../../test/support/migrated-database.ts"
import * as Database from "../Database.ts"
import * as OtherReleases from "./OtherReleases.ts"

const surface = readFileSync(join(import.meta.dirname, "../../../surface.json"), "utf8")

describe("releases that may have left open work", () => {
  it.scopedLive(
    "are told with all that ever ran, and not at all where one is not known or the candidate was among them",
    () =>
      Effect.gen(function* () {
        const database = yield* migratedDatabase
        const settings = yield* Database.fromUrl(database.urlOf("reader"))
        const known = Effect.map(
          OtherReleases.read("candidate").pipe(Effect.provide(Database.layer(settings)), Effect.scoped),
          ({ before }) => before?.surfaces.length
        )
        const record = (release: string, state: string, text = surface) =>
          database.query("insert into agents.releases (release, surface, state) values ($1, $2, $3)", [
            release,
            text,
            state
          ])
        const remove = (release: string) => database.query("delete from agents.releases where release = $1", [release])
        expect(yield* known).toBe(0)
        yield* record("first", "retired")
        yield* record("second", "deployed")
        expect(yield* known).toBe(2)
        yield* record("candidate", "rollback-choice")
        expect(yield* known).toBe(2)
        yield* remove("candidate")
        yield* record("damaged", "retired", '{"format":1}')
        expect(yield* known).toBeUndefined()
        yield* remove("damaged")
        expect(yield* known).toBe(2)
        yield* database.query(
          "insert into agents.runners (runner, release, carries) values ('pod-0', 'stranger', '{}')"
        )
        expect(yield* known).toBeUndefined()
      })
  )
})
