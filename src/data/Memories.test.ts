/** On Postgres, as the runtime role: what is kept, for whom, how much, and that a rerun or a late writer adds nothing. */

import { FetchHttpClient } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Effect, Layer, Option, Redacted, type Scope } from "effect"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { openAiServer } from "../../test/support/openai.ts"
import { until } from "../../test/support/wait.ts"
import * as LocalEmbedding from "../agent/model/LocalEmbedding.ts"
import * as OpenAiEmbedding from "../agent/model/OpenAiEmbedding.ts"
import { type Policies, ToolPolicies } from "../agent/tools/Policy.ts"
import * as AgentTools from "../agent/tools/Tools.ts"
import { Embedding, EmbeddingUnavailable } from "../domain/Embedding.ts"
import type { Spender } from "../domain/EventLog.ts"
import { TenantId } from "../domain/Ids.ts"
import { Memory, memoryLimits } from "../domain/Memory.ts"
import { eventLog } from "../events/EventStore.ts"
import * as Gates from "../gates/Database.ts"
import * as Database from "../runtime/Database.ts"
import { databaseFromUrl } from "../runtime/Settings.ts"
import * as Memories from "./Memories.ts"

const acme = TenantId.make("acme")
const other = TenantId.make("other")
const of = (tenantId: TenantId): Spender => ({ tenantId, executionId: `execution-of-${tenantId}` })

const policies: Policies = {
  default: { tools: ["remember", "recall"], hosts: [] },
  tenants: { strict: { tools: ["calculate"], hosts: [] } }
}

/** `acme` and `other` have an open run each. */
const onDatabase = <E>(
  test: (database: MigratedDatabase) => Effect.Effect<void, E, Memory | AgentTools.Tools | Scope.Scope>,
  embedding: Layer.Layer<Embedding> = LocalEmbedding.layer
) =>
  Effect.gen(function* () {
    const database = yield* migratedDatabase
    for (const tenant of [acme, other]) {
      yield* database.query("insert into agents.sessions (tenant_id, session_id) values ($1, 's')", [tenant])
      yield* database.query(
        `insert into agents.runs (tenant_id, run_id, session_id, execution_id, workflow, status, release)
         values ($1, 'r', 's', $2, 'AgentWorkflow', 'accepted', 'r')`,
        [tenant, of(tenant).executionId]
      )
    }
    yield* test(database).pipe(
      Effect.provide(
        AgentTools.layer.pipe(
          Layer.provideMerge(Memories.layer),
          Layer.provide([Layer.succeed(ToolPolicies, policies), embedding, eventLog]),
          Layer.provide(
            Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 10 })
          )
        )
      )
    )
  })

const texts = (tenant: TenantId, question: string) =>
  Effect.flatMap(Memory, (memory) =>
    Effect.map(memory.recall(of(tenant), "recall", question), (found) => found.map(({ text }) => text))
  )

it.scopedLive("finds what shares a word with a question, the closest first, and of its own tenant alone", () =>
  onDatabase(() =>
    Effect.gen(function* () {
      const memory = yield* Memory
      yield* memory.remember(of(acme), "1", "Ann prefers green tea")
      yield* memory.remember(of(acme), "2", "The meeting room has tea and coffee")
      yield* memory.remember(of(acme), "3", "Übergabe am Freitag")
      yield* memory.remember(of(other), "1", "Ann prefers black tea, a secret of other")
      expect(yield* texts(acme, "Which tea does Ann prefer?")).toEqual([
        "Ann prefers green tea",
        "The meeting room has tea and coffee"
      ])
      expect(yield* texts(acme, "wann ist die Übergabe")).toEqual(["Übergabe am Freitag"])
      // No word of its own, and what would mean something to a parser of queries or of SQL.
      for (const question of [
        "",
        "the",
        "' | secret:* & !x",
        "black\\",
        "'; drop table agents.memories --",
        "(((",
        "<->"
      ])
        expect((yield* texts(acme, question)).filter((text) => text.includes("other"))).toEqual([])
      expect(yield* texts(acme, "' & ''' | green \\")).toEqual(["Ann prefers green tea"])
    })
  )
)

it.scopedLive(
  "finds by its vector what shares no word with a question as it is written, and of its own tenant alone",
  () =>
    onDatabase((database) =>
      Effect.gen(function* () {
        const memory = yield* Memory
        yield* memory.remember(of(acme), "1", "Die Kundenrechnungen gehen an das Büro in Bern")
        yield* memory.remember(of(acme), "2", "The VPN needs a hardware token")
        yield* memory.remember(of(other), "1", "Kundenrechnungen von other")
        expect(yield* texts(acme, "Rechnung")).toEqual(["Die Kundenrechnungen gehen an das Büro in Bern"])
        expect(yield* texts(other, "Rechnung")).toEqual(["Kundenrechnungen von other"])
        expect(yield* texts(acme, "what is the weather like today")).toEqual([])
        // It was the vector: its words alone do not find it.
        yield* database.query("update agents.memories set embedding = null, embedded_by = null")
        expect(
          yield* database.query("select from agents.memories where words @@ plainto_tsquery('english', $1)", [
            "Rechnung"
          ])
        ).toEqual([])
      })
    )
)

it.scopedLive("finds by the provider's vectors what means the same in other words, and of its own tenant alone", () => {
  const drives = /drives|automobile|car\b/
  const provider = Layer.unwrapScoped(
    Effect.map(openAiServer, ({ script, url }) => {
      // The words for driving lie in one direction, all others in another.
      script({ vectors: (text) => Array.from({ length: 512 }, (_, n) => (n === (drives.test(text) ? 1 : 2) ? 1 : 0)) })
      return OpenAiEmbedding.layer({ key: () => Redacted.make("first"), url, model: "text-embedding-3-small" })
    })
  ).pipe(Layer.provide(FetchHttpClient.layer))
  return onDatabase(
    (database) =>
      Effect.gen(function* () {
        const memory = yield* Memory
        yield* memory.remember(of(acme), "1", "Ann drives to work")
        yield* memory.remember(of(acme), "2", "Ann likes tea")
        yield* memory.remember(of(other), "1", "Bob has a car, a secret of other")
        expect(yield* texts(acme, "Who owns an automobile?")).toEqual(["Ann drives to work"])
        expect(yield* texts(other, "Who owns an automobile?")).toEqual(["Bob has a car, a secret of other"])
        expect(yield* database.query("select distinct embedded_by as by from agents.memories")).toEqual([
          { by: "text-embedding-3-small/512" }
        ])
        // Each call once, to the run that made it. The provider counts a token a text.
        yield* memory.remember(of(acme), "1", "Ann drives to work")
        expect(
          yield* database.query(
            `select step, input_tokens::int as used from agents.token_usage
             where tenant_id = 'acme' and model = 'text-embedding-3-small' order by step`
          )
        ).toEqual([
          { step: "1", used: 1 },
          { step: "2", used: 1 },
          { step: "recall", used: 1 }
        ])
      }),
    provider
  )
})

it.scopedLive(
  "keeps a memory that no vector could be made of, finds it by its words, and makes up for it later",
  () => {
    let away = true
    const method = { name: "sometimes", near: 0.1 }
    const sometimes = Layer.succeed(Embedding, {
      ...method,
      // What is asked about tea in any words lies in the same direction.
      embed: (asked) =>
        away
          ? new EmbeddingUnavailable({ message: "Away, as the test has it." })
          : Effect.succeed(asked.map((text) => (/tea|brew/.test(text) ? [1, 0] : [0, 1])))
    })
    return onDatabase(
      (database) =>
        Effect.gen(function* () {
          const memory = yield* Memory
          const vectors = database.query<{ by: string | null }>(
            "select embedded_by as by from agents.memories order by memory_id"
          )
          yield* memory.remember(of(acme), "1", "Ann drinks green tea")
          yield* memory.remember(of(other), "1", "Bob drinks tea")
          expect(yield* vectors).toEqual([{ by: null }, { by: null }])
          expect(yield* texts(acme, "What does Ann drink?")).toEqual(["Ann drinks green tea"])
          expect(yield* texts(acme, "a warm brew")).toEqual([])
          away = false
          expect(yield* texts(acme, "a warm brew")).toEqual(["Ann drinks green tea"])
          expect(yield* vectors).toEqual([{ by: "sometimes" }, { by: null }])
          // Another method's vectors are compared with none of this one's, and made anew.
          yield* database.query("update agents.memories set embedding = array[0, 1], embedded_by = 'another'")
          expect(yield* texts(acme, "a warm brew")).toEqual(["Ann drinks green tea"])
          expect(yield* vectors).toEqual([{ by: "sometimes" }, { by: "another" }])
        }),
      sometimes
    )
  }
)

it.scopedLive("remembers once for a key, whoever writes at the same moment or again", () =>
  onDatabase((database) =>
    Effect.gen(function* () {
      const memory = yield* Memory
      const ids = yield* Effect.all(
        Array.from({ length: 8 }, () => memory.remember(of(acme), "k", "Once")),
        { concurrency: 8 }
      )
      expect(new Set(ids).size).toBe(1)
      // The same key is another tenant's as well.
      expect(yield* memory.remember(of(other), "k", "Mine")).not.toBe(ids[0])
      yield* database.query("update agents.runs set finished_at = now() where tenant_id = 'acme'")
      expect(yield* memory.remember(of(acme), "k", "Once")).toBe(ids[0])
    })
  )
)

it.scopedLive("holds as many as it may and none more, whoever writes at the same moment", () =>
  onDatabase((database) =>
    Effect.gen(function* () {
      yield* database.query(
        `insert into agents.memories (tenant_id, execution_id, idempotency_key, body)
         select 'acme', 'e', n::text, 'fact ' || n from generate_series(1, $1::int) n`,
        [memoryLimits.perTenant - 2]
      )
      const memory = yield* Memory
      const written = yield* Effect.all(
        Array.from({ length: 6 }, (_, n) =>
          Effect.either(memory.remember(of(acme), `k${n}`, "One more")).pipe(
            Effect.map((result) => (result._tag === "Right" ? "written" : result.left.reason))
          )
        ),
        { concurrency: 6 }
      )
      expect(written.sort()).toEqual(["full", "full", "full", "full", "written", "written"])
      expect((yield* texts(acme, "fact")).length).toBe(memoryLimits.recalled)
      // The full memory of one tenant is no other's.
      yield* memory.remember(of(other), "k", "Mine")
    })
  )
)

it.scopedLive("takes nothing from a run that is over, though it ends while its memory is being written", () =>
  onDatabase((database) =>
    Effect.gen(function* () {
      const memory = yield* Memory
      const settings = yield* Gates.fromUrl(database.urlOf("runtime"))
      yield* Effect.gen(function* () {
        const end = yield* Effect.flatMap(Gates.Database, (gate) => gate.session)
        yield* end.script("begin")
        yield* end.query("update agents.runs set finished_at = now() where tenant_id = 'acme'")
        const late = yield* Effect.fork(Effect.flip(memory.remember(of(acme), "late", "Too late")))
        yield* until(
          "the writer waits for the run",
          database.query<{ n: number }>(
            `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`
          ),
          ([row]) => row!.n === 1
        )
        yield* end.script("commit")
        expect((yield* late).reason).toBe("run-over")
      }).pipe(Effect.scoped, Effect.provide(Gates.layer(settings)))
      expect(yield* texts(acme, "late")).toEqual([])
    })
  )
)

it.scopedLive("forgets for its own tenant alone, and once", () =>
  onDatabase(() =>
    Effect.gen(function* () {
      const memory = yield* Memory
      const id = yield* memory.remember(of(acme), "k", "Forget this")
      expect(yield* memory.forget(other, id)).toBe(false)
      expect(yield* texts(acme, "forget")).toEqual(["Forget this"])
      expect(yield* memory.forget(acme, id)).toBe(true)
      expect(yield* memory.forget(acme, id)).toBe(false)
      expect(yield* texts(acme, "forget")).toEqual([])
    })
  )
)

it.scopedLive("is two tools behind the policy: a call that runs twice remembers once, a failed run takes it back", () =>
  onDatabase((database) =>
    Effect.gen(function* () {
      const tools = yield* AgentTools.Tools
      const call = (tool: string, input: string, tenant = acme, key = "execution/tool:1") =>
        tools.call(of(tenant), { call: "1", tool, input }, key)
      const first = yield* call("remember", "Ann's desk is 4711")
      expect(first).toEqual({ outcome: "ok", output: expect.stringMatching(/^Remembered as number \d+\.$/) })
      expect(yield* call("remember", "Ann's desk is 4711")).toEqual(first)
      expect(yield* call("recall", "desk of Ann")).toEqual({
        outcome: "ok",
        output: expect.stringMatching(/^\d+: Ann's desk is 4711$/)
      })
      expect(yield* call("recall", "desk of Ann", other)).toEqual({
        outcome: "ok",
        output: expect.stringContaining("Nothing")
      })
      for (const input of ["", " \n", "x".repeat(memoryLimits.length + 1)])
        expect((yield* call("remember", input)).outcome).toBe("refused")
      expect((yield* call("remember", "x", TenantId.make("strict"))).outcome).toBe("refused")
      const long = Array.from({ length: 5 }, (_, n) => call("remember", `${n} long `.repeat(140), acme, `long${n}`))
      yield* Effect.all(long)
      expect((yield* call("recall", "long")).outcome).toBe("ok")

      const undo = tools.undo(of(acme), { call: "1", tool: "remember", input: "Ann's desk is 4711" }, first.output, "u")
      expect(yield* Option.getOrThrow(Option.fromNullable(undo))).toMatchObject({ outcome: "ok" })
      expect(yield* Option.getOrThrow(Option.fromNullable(undo))).toMatchObject({ outcome: "ok" })
      expect(yield* texts(acme, "desk")).toEqual([])
      expect(yield* database.query("select from agents.memories where body like '%desk%'")).toEqual([])
    })
  )
)
