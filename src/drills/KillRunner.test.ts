import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Surroundings } from "./Drill.ts"
import type { RunState } from "./GatewayClient.ts"
import type { Verdict } from "./Invariants.ts"
import { KillRunner } from "./KillRunner.ts"

/** A target in memory: `dies` says whether a deleted pod really goes, `after` what its database says at the end. */
const target = (options: { readonly dies: boolean; readonly after?: Partial<Verdict> }): Surroundings => {
  let instance = 1
  let killed = false
  let written = 5
  const state = (runId: string): RunState => ({
    runId,
    status: killed ? "completed" : "accepted",
    runner: killed && options.dies ? "runner-0" : "runner-1"
  })
  return {
    gateway: {
      startRun: ({ runId }) => Effect.sync(() => state(runId)),
      status: (runId) => Effect.sync(() => state(runId)),
      written: () => Effect.sync(() => ++written),
      approve: (runId) => Effect.sync(() => state(runId)),
      waitFor: () => Effect.void
    },
    kubernetes: {
      pods: Effect.sync(() => [
        { name: "runner-0", instance: "a" },
        { name: "runner-1", instance: String(instance) }
      ]),
      deletePod: () =>
        Effect.sync(() => {
          killed = true
          if (options.dies) instance++
        })
    },
    locks: { sessions: () => Effect.succeed([]), end: () => Effect.void, alive: () => Effect.succeed([]) },
    invariant: () => Effect.succeed({ runs: 6, executionsLost: 0, eventsDoubled: 0, findings: [], ...options.after }),
    log: () => Effect.void
  }
}

describe("the drill kill-runner", () => {
  it.live("holds when the fault happened and nothing was lost or doubled", () =>
    Effect.gen(function* () {
      const journal = yield* KillRunner.run(target({ dies: true }))
      expect(journal.status).toBe("completed")
      expect(journal.fault).toContain("runner-1 was instance 1 and is 2 now")
      expect(journal.takeoverMs).toBeLessThan(5_000)
    })
  )

  it.live("has shown nothing when the pod is the same as before", () =>
    Effect.gen(function* () {
      const journal = yield* KillRunner.run(target({ dies: false }), { replacementLimit: "200 millis" })
      expect(journal.status).toBe("no-fault")
      expect(journal.fault).toBeNull()
    })
  )

  it.live("deviates when an accepted run is lost, or an event is there twice", () =>
    Effect.gen(function* () {
      for (const after of [{ executionsLost: 1 }, { eventsDoubled: 1 }, { runs: 5 }]) {
        expect((yield* KillRunner.run(target({ dies: true, after }))).status).toBe("deviated")
      }
    })
  )
})
