import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import type { KubeObject } from "../Driver.ts"
import { type Api, ApiError } from "./Api.ts"
import * as Hook from "./Hook.ts"
import type { Json, Pod } from "./Json.ts"

const job: KubeObject = {
  apiVersion: "batch/v1",
  kind: "Job",
  metadata: { name: "load" },
  spec: { template: { spec: { containers: [{ name: "load", image: "smoke@sha256:1" }] } } }
}
const running: Pod = {
  metadata: { name: "load-x", uid: "1" },
  spec: { containers: [{ name: "load", image: "smoke@sha256:1" }] },
  status: {
    phase: "Running",
    containerStatuses: [{ name: "load", ready: true, restartCount: 0, image: "smoke", state: { running: {} } }]
  }
}
const ended: Pod = {
  ...running,
  status: {
    phase: "Failed",
    containerStatuses: [
      {
        name: "load",
        ready: false,
        restartCount: 0,
        image: "smoke",
        state: { terminated: { exitCode: 105, message: '{"requests":30}\n' } }
      }
    ]
  }
}
const notFound = new ApiError({ status: 404, reason: "NotFound", message: "not found", causes: [] })

/** A pod that runs at the first look, and of which every later one finds nothing: `told` are the events of a watch before that. */
const clusterWith = (told: ReadonlyArray<readonly [string, Pod]>) =>
  Effect.gen(function* () {
    const watched = yield* Deferred.make<void>()
    let looks = 0
    const api: Api = {
      context: "kind",
      call: (path, call) =>
        Effect.gen(function* () {
          if (call?.query?.["labelSelector"] !== undefined) {
            looks += 1
            if (looks === 1) return { items: [running] }
            yield* Deferred.await(watched)
            return { items: [] }
          }
          return path.includes("/jobs/")
            ? ({
                status: { conditions: [{ type: "Failed", message: "Job has reached the specified backoff limit" }] }
              } as Json)
            : {}
        }),
      // The node has removed the container: a read of its log finds nothing, as it did in one of four rehearsals.
      text: () => Effect.fail(notFound),
      lines: (_, query, onLine) =>
        query["watch"] === undefined
          ? Effect.fail(notFound)
          : Effect.sync(() => {
              for (const [type, object] of told) onLine(JSON.stringify({ type, object }))
            }).pipe(Effect.zipRight(Deferred.succeed(watched, undefined)), Effect.zipRight(Effect.never)),
      resource: () => Effect.succeed(undefined)
    }
    const logFolder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "hook-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    return yield* Hook.run(job, { timeoutMs: 30_000, env: {} }, { api, namespace: "prod", logFolder })
  })

it.scopedLive("knows how a deleted pod ended, and its last words, though pod and log are gone at the next look", () =>
  Effect.gen(function* () {
    const outcome = yield* clusterWith([
      ["ADDED", running],
      ["MODIFIED", ended],
      ["DELETED", ended]
    ])
    expect(outcome).toMatchObject({ exitCode: 105, timedOut: false, lastWords: '{"requests":30}\n' })
  })
)

it.scopedLive("says what the Job says where nothing was told of the pod's end: it was deleted by force", () =>
  Effect.gen(function* () {
    const outcome = yield* clusterWith([
      ["ADDED", running],
      ["DELETED", running]
    ])
    expect(outcome).toMatchObject({ exitCode: 1, log: ["rehearsal: Job has reached the specified backoff limit"] })
    expect(outcome.lastWords).toBeUndefined()
  })
)
