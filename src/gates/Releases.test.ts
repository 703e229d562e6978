import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Schema, type Scope } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { ExitCode } from "../domain/ExitCode.ts"
import { fromUrl, layer } from "./Database.ts"
import * as Evidence from "./Evidence.ts"
import * as Releases from "./Releases.ts"

/** `a deployed` at minute 0, and so on: the order of the list is the order of recording. */
const records = (...lines: ReadonlyArray<`${string} ${Releases.State}`>) =>
  lines.map((line, minute) => {
    const [release, state] = line.split(" ") as [string, Releases.State]
    return { release, state, recorded_at: new Date(minute * 60_000) }
  })

describe("whenDeployed", () => {
  it.each([
    ["the first release", records("a deploying"), "a", ["a deployed"]],
    ["the next release", records("a deployed", "b deploying"), "b", ["a rollback-choice", "b deployed"]],
    [
      "one that retires the former rollback choice",
      records("a rollback-choice", "b deployed", "c deploying"),
      "c",
      ["a retired", "b rollback-choice", "c deployed"]
    ],
    ["a rollback", records("a rollback-choice", "b deployed"), "a", ["b rollback-choice", "a deployed"]],
    [
      "one that overtook a canary which was given up",
      records("a deployed", "b deploying", "c deploying"),
      "c",
      ["a rollback-choice", "b retired", "c deployed"]
    ],
    [
      "one while a newer is on its way",
      records("a deployed", "b deploying", "c deploying"),
      "b",
      ["a rollback-choice", "b deployed"]
    ],
    ["one that is deployed already", records("a rollback-choice", "b deployed"), "b", []],
    ["one that nobody recorded", records("a deployed"), "z", []]
  ])("deploys %s", (_, before, release, expected) => {
    const changes = Releases.whenDeployed(before, release)
    expect(changes.map(({ release, to }) => `${release} ${to}`)).toEqual(expected)
    const after = new Map(before.map(({ release, state }) => [release, state]))
    for (const { release, to } of changes) {
      after.set(release, to)
      // At no moment are there two, not even between two changes.
      expect([...after.values()].filter((state) => state === "deployed").length).toBeLessThan(2)
    }
  })
})

const connected = (database: MigratedDatabase) =>
  Layer.unwrapEffect(Effect.map(fromUrl(database.urlOf("migrator")), layer)).pipe(Layer.orDie)

const inDatabase = <A, E>(
  body: (database: MigratedDatabase) => Effect.Effect<A, E, Layer.Layer.Success<ReturnType<typeof layer>>>
): Effect.Effect<A, E, Scope.Scope> =>
  Effect.flatMap(migratedDatabase, (database) => Effect.provide(body(database), connected(database)))

const surface = { statements: [] }
const states = Effect.map(Releases.list, (all) => all.map(({ release, state }) => `${release} ${state}`).sort())

describe("release records", () => {
  it.scopedLive("follow a release to its end, and take a retired one back in as deploying", () =>
    inDatabase(() =>
      Effect.gen(function* () {
        for (const release of ["a", "b", "c"]) {
          expect(yield* Releases.record({ release, surface, target: "prod" })).toBe("deploying")
          yield* Releases.markDeployed({ release, target: "prod", rollout: `${release}-1` })
        }
        expect(yield* states).toEqual(["a retired", "b rollback-choice", "c deployed"])
        expect(yield* Releases.record({ release: "c", surface })).toBe("deployed")
        expect(yield* Releases.record({ release: "b", surface })).toBe("rollback-choice")
        expect(yield* Releases.record({ release: "a", surface })).toBe("deploying")
        const [c] = (yield* Releases.list).filter(({ release }) => release === "c")
        expect(c).toMatchObject({ target: "prod", rollout: "c-1", retired_at: null })
        expect(c?.deployed_at).toBeInstanceOf(Date)
      })
    )
  )

  it.scopedLive("are not retired while the release is deployed or one of its runners lives", () =>
    inDatabase((database) =>
      Effect.gen(function* () {
        yield* Releases.record({ release: "a", surface })
        yield* Releases.markDeployed({ release: "a" })
        yield* Releases.record({ release: "b", surface })
        yield* database.query("insert into agents.runners (runner, release, carries) values ('pod-0', 'b', '{}')")
        const refusal = (release: string) =>
          Releases.retire(release).pipe(
            Effect.flip,
            Effect.map((error) => (error._tag === "ReleaseRefused" ? error.exitCode : error._tag))
          )
        expect(yield* refusal("a")).toBe(ExitCode.refused)
        expect(yield* refusal("b")).toBe(ExitCode.refused)
        expect(yield* refusal("z")).toBe(ExitCode.preconditionMissing)
        yield* database.query("delete from agents.runners")
        expect(yield* Releases.retire("b")).toEqual([{ release: "b", from: "deploying", to: "retired" }])
        expect(yield* Releases.retire("b")).toEqual([])
        expect(yield* states).toEqual(["a deployed", "b retired"])
      })
    )
  )

  it.scopedLive("stay whole when two rollouts end at once: one release is deployed", () =>
    inDatabase(() =>
      Effect.gen(function* () {
        const names = ["a", "b", "c", "d"]
        for (const release of names) yield* Releases.record({ release, surface })
        yield* Effect.all(
          names.map((release) => Releases.markDeployed({ release })),
          { concurrency: "unbounded" }
        )
        expect((yield* states).filter((line) => line.endsWith(" deployed"))).toHaveLength(1)
      })
    )
  )

  it.scopedLive("keep a gate's evidence as it was, also when the reader's role writes it", () =>
    inDatabase((database) =>
      Effect.gen(function* () {
        const evidence = yield* Evidence.make({
          gate: "workflows",
          release: "a",
          summary: () => "Fine.",
          checks: [],
          findings: [],
          startedAt: new Date(0),
          env: { CLOUD_DEPLOY_TARGET: "dev" }
        })
        const reader = Layer.unwrapEffect(Effect.map(fromUrl(database.urlOf("reader")), layer)).pipe(Layer.orDie)
        yield* Releases.keepEvidence(evidence).pipe(Effect.provide(reader))
        const [row] = yield* database.query<{ evidence: unknown }>("select evidence from agents.evidence")
        expect(yield* Schema.decodeUnknown(Evidence.Evidence)(row?.evidence)).toEqual(evidence)
      })
    )
  )

  it.scopedLive("keep evidence that quotes what Postgres' JSON can't hold", () =>
    inDatabase((database) =>
      Effect.gen(function* () {
        const finding = { rule: "r", severity: "hazard", what: "w", where: "e", why: "y", fix: "f" } as const
        const evidence = yield* Evidence.make({
          gate: "workflows",
          release: "a",
          summary: () => "Refused.",
          checks: [],
          findings: [{ ...finding, detail: "field a\0b\ud800" }],
          startedAt: new Date(0),
          env: {}
        })
        yield* Releases.keepEvidence(evidence)
        const [row] = yield* database.query<{ detail: string }>(
          "select evidence #>> '{findings,0,detail}' as detail from agents.evidence"
        )
        expect(row?.detail).toBe("field a\ufffdb\ufffd")
      })
    )
  )
})
