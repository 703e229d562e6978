/** Runners with `RUNNER_HEALTH=kubernetes` in one ring, under their DNS names: what Kubernetes says of pods, and what it does not. */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { RunId, SessionId } from "../../src/domain/Ids.ts"
import { pod, podApi, running } from "../support/pod-api.ts"
import { SHARDS } from "../support/sharding.ts"
import { stack } from "../support/stack.ts"
import { until } from "../support/wait.ts"

const ORDINALS = [0, 1, 2]
const podName = (ordinal: number) => `effect-agent-runtime-${ordinal}`
const hostOf = (name: string) => `${name}.effect-agent-runners.agents.svc.cluster.local`
/** Gives a process the cluster's names, as the rehearsal does. */
const PODNET = new URL("../../src/rehearsal/drivers/processes/podnet.mjs", import.meta.url).href

it.scopedLive(
  "takes over what a runner has whose pod is gone from Kubernetes, and nobody's while its API is away",
  () =>
    Effect.gen(function* () {
      const api = yield* podApi
      api.state.pods = ORDINALS.map((ordinal) => pod(podName(ordinal), running))
      const made = yield* stack
      const folder = yield* Effect.acquireRelease(
        Effect.promise(() => mkdtemp(join(tmpdir(), "agents-names-"))),
        (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
      )
      const hosts = join(folder, "hosts")
      const lines = ORDINALS.map((ordinal) => `${made.subnet.address(10 + ordinal)} ${hostOf(podName(ordinal))}\n`)
      yield* Effect.promise(() => writeFile(hosts, lines.join("")))
      const names = { NODE_OPTIONS: `--import=${PODNET}`, PODNET_ADDRESS: "127.0.0.1", PODNET_HOSTS: hosts }
      const runners = yield* Effect.forEach(
        ORDINALS,
        (ordinal) =>
          made.runner(ordinal, {
            ...names,
            RUNNER_HOST: hostOf(podName(ordinal)),
            RUNNER_HEALTH: "kubernetes",
            KUBERNETES_API_URL: api.url,
            KUBERNETES_TOKEN_FILE: api.tokenFile
          }),
        { concurrency: 3 }
      )
      const { runs } = yield* made.gateway(0, names)
      const held = Effect.forEach(runners, (runner) => runner.metric("agents_shards_held"))
      const shared = (what: string, holds: (held: ReadonlyArray<number>) => boolean) =>
        until(
          what,
          held,
          (counts) => holds(counts) && counts.reduce((sum, count) => sum + count, 0) === SHARDS,
          "60 seconds"
        )
      yield* shared("each runner holds some shards", (counts) => counts.every((count) => count > 0))

      // Enough of them that every runner has one: who has which is left to chance.
      const ids = Array.from({ length: 12 }, (_, index) => RunId.make(`r${index}`))
      yield* Effect.forEach(
        ids,
        (runId) => runs.start({ path: { sessionId: SessionId.make(runId) }, payload: { runId, message: "approve" } }),
        { concurrency: 4 }
      )
      const states = (status: string) =>
        until(
          `every run is ${status}`,
          Effect.forEach(ids, (runId) => runs.status({ path: { runId } })),
          (views) => views.every((view) => view.status === status),
          "60 seconds"
        )
      const owners = (yield* states("waiting")).map(({ runner }) => runner)
      const victim = ORDINALS.findLast((ordinal) => owners.includes(podName(ordinal))) ?? 0

      // Its process is there and answers: that it is gone, Kubernetes alone says.
      api.state.pods = api.state.pods.filter((_, ordinal) => ordinal !== victim)
      yield* api.tell("DELETED", pod(podName(victim), running))
      yield* shared("the two others hold all shards", (counts) =>
        counts.every((count, ordinal) => (ordinal === victim) === (count === 0))
      )
      const ring = yield* made.database.query<{ readonly address: string; readonly healthy: boolean }>(
        "select split_part(address, '.', 1) as address, healthy from cluster.cluster_runners order by 1"
      )
      expect(ring).toEqual(ORDINALS.map((ordinal) => ({ address: podName(ordinal), healthy: ordinal !== victim })))
      yield* Effect.forEach(ids, (runId) => runs.approve({ path: { runId } }), { concurrency: 4 })
      const ends = yield* states("completed")
      expect(ends.map(({ runner }) => runner)).not.toContain(podName(victim))

      // Nothing is known any more of any pod, so runners are asked themselves, and the one that answers is back.
      api.state.status = 503
      yield* api.cut
      yield* shared("all three hold shards again", (counts) => counts.every((count) => count > 0))
    }),
  180_000
)
