/**
 * A drill: break one thing on purpose, and show that the durable invariant holds.
 *
 * The form is Chaos Toolkit's: a steady-state hypothesis, a method, a journal. Two rules are ours. The steady state is the
 * durable invariant (nothing accepted lost, nothing doubled), not a health page. And a drill fails when its fault did not
 * really happen: one that broke nothing has shown nothing.
 */
import { Data, type Duration, type Effect } from "effect"
import type { CallFailed, GatewayClient } from "./GatewayClient.ts"
import type { Verdict } from "./Invariants.ts"
import type { KubernetesApi, KubernetesFailed } from "./KubernetesApi.ts"
import type { LockSessions } from "./LockSessions.ts"

export class DrillAborted extends Data.TaggedError("DrillAborted")<{ readonly message: string }> {}

/** What a drill may touch. */
export interface Surroundings {
  readonly gateway: GatewayClient
  readonly kubernetes: KubernetesApi
  readonly locks: LockSessions
  /** The invariant over sessions whose id starts with the prefix. */
  readonly invariant: (sessionPrefix: string) => Effect.Effect<Verdict, DrillAborted>
  readonly log: (line: string) => Effect.Effect<void>
}

export interface Activity {
  readonly name: string
  readonly type: "probe" | "action"
  readonly status: "succeeded" | "failed"
  readonly output: unknown
  readonly durationMs: number
}

export interface Journal {
  readonly drill: string
  readonly hypothesis: string
  /** `deviated`: the invariant did not hold. `no-fault`: nothing was shown to be broken, so nothing was shown at all. */
  readonly status: "completed" | "deviated" | "no-fault"
  readonly steadyState: { readonly before: Verdict; readonly after: Verdict }
  readonly method: ReadonlyArray<Activity>
  /** The proof that the fault happened. */
  readonly fault: string | null
  /** From the fault to the first event that the victim's work writes again. */
  readonly takeoverMs: number | null
  /** From the fault to the last of the drill's runs having ended. */
  readonly recoveryMs: number | null
  readonly startedAt: string
  readonly durationMs: number
}

export interface Drill {
  readonly name: string
  readonly summary: string
  readonly hypothesis: string
  readonly run: (
    surroundings: Surroundings,
    options?: {
      /** How long the fault's effect is looked for before the drill says that it did not happen. */
      readonly replacementLimit?: Duration.DurationInput
    }
  ) => Effect.Effect<Journal, DrillAborted | CallFailed | KubernetesFailed>
}
