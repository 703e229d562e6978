import { describe, expect, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { type DeploymentPod, type DeploymentSpec, limits, planDeployment } from "./DeploymentPlan.ts"

const spec = (replicas: number, maxSurge: number | string, maxUnavailable: number | string): DeploymentSpec => ({
  replicas,
  revision: "b",
  strategy: { type: "RollingUpdate", maxSurge, maxUnavailable }
})

/** `a+` is a ready pod of revision a, `a-` one that is not, `a!` one that terminates. Named by revision and position. */
const pods = (text: string): ReadonlyArray<DeploymentPod> =>
  text.split(" ").flatMap((word, index) => {
    const [revision, state] = [...word]
    return revision === undefined
      ? []
      : [
          {
            name: `${revision}${index}`,
            revision,
            terminating: state === "!",
            available: state === "+",
            createdAt: index
          }
        ]
  })

const show = (actions: ReturnType<typeof planDeployment>) =>
  actions.map((action) => (action._tag === "Create" ? `+${action.count}` : `-${action.name}`)).join(" ")

const recreate: DeploymentSpec = { replicas: 2, revision: "b", strategy: { type: "Recreate" } }

const cases: ReadonlyArray<readonly [what: string, spec: DeploymentSpec, pods: string, actions: string]> = [
  ["makes all pods at first", spec(2, 1, 0), "", "+2"],
  ["surges before it removes", spec(2, 1, 0), "a+ a+", "+1"],
  ["waits for the new pod", spec(2, 1, 0), "a+ a+ b-", ""],
  ["removes an old pod for a ready new one", spec(2, 1, 0), "a+ a+ b+", "-a1"],
  ["does not count terminating pods", spec(2, 1, 0), "a+ a! b+", "+1"],
  ["ends with the last old pod", spec(2, 1, 0), "a+ b+ b+", "-a0"],
  ["removes first without surge", spec(2, 0, 1), "a+ a+", "-a1"],
  ["removes unhealthy old pods first", spec(3, 1, 1), "a- a+ a+", "+1 -a0"],
  ["removes no healthy pod while new ones are not ready", spec(3, 1, 1), "a+ a+ b- b-", ""],
  ["shrinks the present revision", spec(1, 1, 0), "b+ b+ b-", "-b2 -b1"],
  ["recreates: old ones go first", recreate, "a+ a+", "-a0 -a1"],
  ["recreates: waits until they are gone", recreate, "a! a!", ""],
  ["recreates: then makes the new ones", recreate, "", "+2"]
]

describe("planDeployment", () => {
  it.each(cases)("%s", (_what, given, present, actions) => {
    expect(show(planDeployment(given, pods(present)))).toBe(actions)
  })

  it("rounds the surge up, what may be unavailable down, and never both to nothing", () => {
    expect(limits(3, "25%", "25%")).toEqual({ surge: 1, unavailable: 0 })
    expect(limits(10, "25%", "25%")).toEqual({ surge: 3, unavailable: 2 })
    expect(limits(3, "0%", "25%")).toEqual({ surge: 0, unavailable: 1 })
  })

  it("stays between what must be available and what may exist, and gets there", () => {
    const property = FastCheck.property(
      FastCheck.integer({ min: 1, max: 6 }),
      FastCheck.integer({ min: 0, max: 3 }),
      FastCheck.integer({ min: 0, max: 3 }),
      FastCheck.infiniteStream(FastCheck.nat()),
      (replicas, maxSurge, maxUnavailable, choices) => {
        const given = spec(replicas, maxSurge, maxUnavailable)
        const { surge, unavailable } = limits(replicas, maxSurge, maxUnavailable)
        let made = 0
        let state: ReadonlyArray<DeploymentPod> = pods(Array.from({ length: replicas }, () => "a+").join(" "))
        for (let step = 0; step < 300; step++) {
          for (const action of planDeployment(given, state)) {
            state =
              action._tag === "Delete"
                ? state.map((pod) => (pod.name === action.name ? { ...pod, terminating: true } : pod))
                : [
                    ...state,
                    ...Array.from({ length: action.count }, () => ({
                      name: `new${++made}`,
                      revision: "b",
                      terminating: false,
                      available: false,
                      createdAt: made
                    }))
                  ]
          }
          const alive = state.filter(({ terminating }) => !terminating)
          expect(alive.length).toBeLessThanOrEqual(replicas + surge)
          expect(alive.filter(({ available }) => available).length).toBeGreaterThanOrEqual(replicas - unavailable)
          const changing = state.filter((pod) => pod.terminating || !pod.available)
          const chosen = changing[(choices.next().value ?? 0) % Math.max(1, changing.length)]
          if (chosen === undefined) break
          state = chosen.terminating
            ? state.filter((pod) => pod !== chosen)
            : state.map((pod) => (pod === chosen ? { ...pod, available: true } : pod))
        }
        expect(state.map(({ revision }) => revision)).toEqual(Array.from({ length: replicas }, () => "b"))
      }
    )
    FastCheck.assert(property)
  })
})
