/** A small cluster for a test: a migrated database, runner processes, and a client in the test's own process. */
import type { SqlClient } from "@effect/sql/SqlClient"
import { Effect, Layer, type Scope } from "effect"
import { CurrentProcess } from "../../src/domain/CurrentProcess.ts"
import type { RecordedEvent } from "../../src/domain/Event.ts"
import { RunId, SessionId, TenantId } from "../../src/domain/Ids.ts"
import { EventStore } from "../../src/events/EventStore.ts"
import { claimSubnet, type Subnet } from "../../src/rehearsal/net/Loopback.ts"
import * as ClusterClient from "../../src/runtime/ClusterClient.ts"
import * as Database from "../../src/runtime/Database.ts"
import { databaseFromUrl } from "../../src/runtime/Settings.ts"
import { type TestImage, testImage } from "./image.ts"
import { messageStorage, stepEngine } from "./message-storage.ts"
import { type MigratedDatabase, migratedDatabase } from "./migrated-database.ts"
import { databaseSecret, startPod, type TestPod } from "./pods.ts"
import { sharding } from "./sharding.ts"
import { type NeverHappened, until } from "./wait.ts"

interface RunnerOptions {
  readonly image?: TestImage
  readonly env?: Readonly<Record<string, string>>
}

export interface TestCluster {
  readonly database: MigratedDatabase
  readonly subnet: Subnet
  /** Starts a runner; number 0 is `effect-agent-runtime-0`. `image` is the default image unless given. */
  readonly runner: (ordinal: number, options?: RunnerOptions) => Effect.Effect<TestPod, never, Scope.Scope>
  /** As many of them, at once, each ready. */
  readonly runners: (
    count: number,
    options?: RunnerOptions
  ) => Effect.Effect<ReadonlyArray<TestPod>, NeverHappened, Scope.Scope>
  readonly client: Layer.Layer<ClusterClient.AgentClient | EventStore | SqlClient>
}

export const testCluster: Effect.Effect<TestCluster, never, Scope.Scope> = Effect.gen(function* () {
  const [database, image] = yield* Effect.all([migratedDatabase, testImage()], { concurrency: 2 })
  const subnet = yield* Effect.orDie(claimSubnet)
  const secret = yield* databaseSecret(database.urlOf("runtime"))
  const client = Layer.mergeAll(ClusterClient.layer({ ...sharding, messageStorage }), EventStore.Default).pipe(
    Layer.provideMerge(
      Database.layer(databaseFromUrl(database.urlOf("runtime")), { applicationName: "test", maxConnections: 8 })
    ),
    Layer.provide(Layer.succeed(CurrentProcess, { name: "test", release: "test" })),
    Layer.orDie
  )
  const runner: TestCluster["runner"] = (ordinal, options = {}) =>
    startPod({
      image: options.image ?? image,
      program: "runner",
      name: `effect-agent-runtime-${ordinal}`,
      address: subnet.address(10 + ordinal),
      env: { DATABASE_SECRET_DIR: secret, MESSAGE_STORAGE: messageStorage, STEP_ENGINE: stepEngine, ...options.env }
    })
  const runners: TestCluster["runners"] = (count, options) =>
    Effect.gen(function* () {
      const pods = yield* Effect.all(Array.from({ length: count }, (_, ordinal) => runner(ordinal, options)))
      yield* Effect.all(pods.map(({ ready }) => ready))
      return pods
    })
  return { database, subnet, client, runner, runners }
})

export const tenant = TenantId.make("acme")
export const session = (name: string) => ({ tenantId: tenant, sessionId: SessionId.make(name) })
export const runId = (name: string) => RunId.make(name)

/** All events of a run so far. */
export const eventsOf = (run: string): Effect.Effect<ReadonlyArray<RecordedEvent>, unknown, EventStore> =>
  Effect.flatMap(EventStore, (store) => store.ofRun(tenant, runId(run), 0))

/** Waits until the run has an event of this type. */
export const untilEvent = (
  run: string,
  type: RecordedEvent["event"]["_tag"],
  within: import("effect").Duration.DurationInput = "30 seconds"
) => until(`${type} of ${run}`, eventsOf(run), (events) => events.some(({ event }) => event._tag === type), within)

/** How often each (step, sequence) is there, and the text that the token rows make: what must hold whatever was killed. */
export const summary = (events: ReadonlyArray<RecordedEvent>) => {
  const keys = events.map(({ step, sequence }) => `${step}/${sequence}`)
  const ids = events.map(({ eventId }) => eventId)
  return {
    types: events
      .map(({ event }) => event._tag)
      .filter((type, index, all) => type !== "Token" || all[index - 1] !== "Token"),
    doubled: keys.filter((key, index) => keys.indexOf(key) !== index),
    ascending: ids.every((id, index) => index === 0 || id > (ids[index - 1] as number)),
    text: events.map(({ event }) => (event._tag === "Token" ? event.text : "")).join("")
  }
}
