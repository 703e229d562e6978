import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { planStatefulSet, type SetPod, type SetSpec, updateComplete } from "./StatefulSetPlan.ts"

const spec = (more: Partial<SetSpec> = {}): SetSpec => ({
  start: 0,
  replicas: 3,
  partition: 0,
  policy: "Parallel",
  currentRevision: "a",
  updateRevision: "b",
  ...more
})

/** `a+` is a ready pod of revision a, `a-` one that is not, `a!` one that terminates, `.` none. */
const pods = (text: string): ReadonlyArray<SetPod> =>
  text.split(" ").flatMap((word, ordinal) => {
    const [revision = "", state] = [...word]
    return revision === "." ? [] : [{ ordinal, revision, terminating: state === "!", available: state === "+" }]
  })

const show = (actions: ReturnType<typeof planStatefulSet>) =>
  actions
    .map((action) => (action._tag === "Create" ? `+${action.ordinal}${action.revision}` : `-${action.ordinal}`))
    .join(" ")

const cases: ReadonlyArray<readonly [what: string, spec: SetSpec, pods: string, actions: string]> = [
  ["makes all pods at once", spec({ currentRevision: "b" }), ". . .", "+0b +1b +2b"],
  ["makes one after the other when ordered", spec({ currentRevision: "b", policy: "OrderedReady" }), ". . .", "+0b"],
  ["waits for the one before when ordered", spec({ currentRevision: "b", policy: "OrderedReady" }), "b- . .", ""],
  ["goes on when the one before is ready", spec({ currentRevision: "b", policy: "OrderedReady" }), "b+ . .", "+1b"],
  ["updates from the top", spec(), "a+ a+ a+", "-2"],
  ["waits until the old one is gone", spec(), "a+ a+ a!", ""],
  ["makes the new one", spec(), "a+ a+ .", "+2b"],
  ["waits until the new one is ready", spec(), "a+ a+ b-", ""],
  ["goes on below a ready one", spec(), "a+ a+ b+", "-1"],
  ["stops at the partition", spec({ partition: 2 }), "a+ a+ b+", ""],
  ["makes a lost pod below the partition with the old revision", spec({ partition: 2 }), ". a+ b+", "+0a"],
  ["makes a lost pod above the partition with the new revision", spec({ partition: 1 }), "a+ . b+", "+1b"],
  ["does nothing when all is done", spec(), "b+ b+ b+", ""],
  ["goes back from a broken pod when parallel", spec({ updateRevision: "a", partition: 2 }), "a+ a+ b-", "-2"],
  [
    "is stuck behind a broken pod when ordered (forced rollback)",
    spec({ updateRevision: "a", partition: 2, policy: "OrderedReady" }),
    "a+ a+ b-",
    ""
  ],
  ["removes what is too much at once", spec({ replicas: 1, currentRevision: "b" }), "b+ b+ b+", "-2 -1"],
  [
    "removes what is too much from the top when ordered",
    spec({ replicas: 1, currentRevision: "b", policy: "OrderedReady" }),
    "b+ b+ b+",
    "-2"
  ],
  ["counts from the first ordinal", spec({ start: 1, replicas: 2 }), ". a+ a+", "-2"]
]

describe("planStatefulSet", () => {
  it.each(cases)("%s", (_what, given, present, actions) => {
    expect(show(planStatefulSet(given, pods(present)))).toBe(actions)
  })

  it("takes the update revision as current only when every pod has it and no partition is left", () => {
    expect(updateComplete(spec(), pods("b+ b+ b+"))).toBe(true)
    expect(updateComplete(spec(), pods("b+ b+ b-"))).toBe(false)
    expect(updateComplete(spec(), pods("a+ b+ b+"))).toBe(false)
    expect(updateComplete(spec({ partition: 2 }), pods("a+ a+ b+"))).toBe(false)
  })

  it("reaches every update with at most one pod away, whatever the order in which pods become ready", () => {
    const policies = FastCheck.constantFrom("Parallel" as const, "OrderedReady" as const)
    const property = FastCheck.property(
      FastCheck.integer({ min: 1, max: 5 }),
      FastCheck.integer({ min: 0, max: 4 }),
      policies,
      FastCheck.infiniteStream(FastCheck.nat()),
      (replicas, partition, policy, choices) => {
        const given = spec({ replicas, partition: Math.min(partition, replicas - 1), policy })
        let state: ReadonlyArray<SetPod> = pods(Array.from({ length: replicas }, () => "a+").join(" "))
        for (let step = 0; step < 200; step++) {
          for (const action of planStatefulSet(given, state)) {
            state =
              action._tag === "Create"
                ? [
                    ...state,
                    { ordinal: action.ordinal, revision: action.revision, terminating: false, available: false }
                  ]
                : state.map((pod) => (pod.ordinal === action.ordinal ? { ...pod, terminating: true } : pod))
          }
          const unavailable = replicas - state.filter((pod) => pod.available && !pod.terminating).length
          expect(unavailable).toBeLessThanOrEqual(1)
          const changing = state.filter((pod) => pod.terminating || !pod.available)
          const chosen = changing[(choices.next().value ?? 0) % Math.max(1, changing.length)]
          if (chosen === undefined) break
          state = chosen.terminating
            ? state.filter((pod) => pod !== chosen)
            : state.map((pod) => (pod === chosen ? { ...pod, available: true } : pod))
        }
        expect(state.filter(({ revision }) => revision === "b").length).toBe(replicas - given.partition)
      }
    )
    FastCheck.assert(property)
  })
})
