import { resolve } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { timeOfDay, waitSeconds } from "../src/rehearsal/clouddeploy/ApiForm.ts"
import { readDelivery } from "../src/rehearsal/clouddeploy/DeliveryConfig.ts"
import { automationInput, pipelineInput, policyInput, targetInput } from "./clouddeploy.ts"

const root = resolve(import.meta.dirname, "..")

describe("from Cloud Deploy's YAML to Pulumi's inputs", () => {
  it("writes waits in seconds", () => {
    expect(waitSeconds("5m")).toBe("300s")
    expect(waitSeconds("0m")).toBe("0s")
    expect(() => waitSeconds("90s")).toThrow("whole minutes")
  })

  it("takes a time of day apart, the end of the day included", () => {
    expect(timeOfDay("17:30")).toEqual({ hours: 17, minutes: 30 })
    expect(timeOfDay("24:00")).toEqual({ hours: 24, minutes: 0 })
    expect(() => timeOfDay("1020")).toThrow("time of day")
  })

  it.effect("keeps every stage, phase and fence of the pipeline", () =>
    Effect.gen(function* () {
      const { pipelines } = yield* readDelivery(root)
      const fences = {
        predeploy: { actions: ["gate-workflows", "migrate"] },
        verify: true,
        postdeploy: { actions: ["record"] }
      }
      expect(pipelineInput(pipelines[0]!)).toMatchObject({
        name: "agents",
        serialPipeline: {
          stages: [
            { targetId: "dev", profiles: ["dev"], strategy: { standard: fences } },
            { targetId: "staging", profiles: ["staging"], strategy: { standard: fences } },
            {
              targetId: "prod",
              strategy: {
                canary: {
                  customCanaryDeployment: {
                    phaseConfigs: [
                      { phaseId: "one-replica", percentage: 33, profiles: ["prod-one"], ...fences },
                      { phaseId: "stable", percentage: 100, profiles: ["prod-full"], ...fences }
                    ]
                  }
                }
              }
            }
          ]
        }
      })
    })
  )

  it.effect("asks for approval where the target does, and says so where it does not", () =>
    Effect.gen(function* () {
      const { targets } = yield* readDelivery(root)
      expect(targets.map(targetInput).map(({ name, requireApproval }) => [name, requireApproval])).toEqual([
        ["dev", false],
        ["staging", false],
        ["prod", true]
      ])
    })
  )

  it.effect("translates automations: pipeline and name apart, attempts as text, the backoff's full name", () =>
    Effect.gen(function* () {
      const { automations } = yield* readDelivery(root)
      const inputs = Object.fromEntries(automations.map(automationInput).map((input) => [String(input.name), input]))
      expect(inputs["promote-dev"]).toMatchObject({
        deliveryPipeline: "agents",
        rules: [{ promoteReleaseRule: { wait: "60s", destinationTargetId: "staging" } }]
      })
      expect(inputs["advance-prod"]).toMatchObject({
        rules: [{ advanceRolloutRule: { wait: "1800s", sourcePhases: ["one-replica"] } }]
      })
      expect(inputs["repair"]).toMatchObject({
        rules: [
          {
            repairRolloutRule: {
              jobs: ["deploy", "verify"],
              repairPhases: [
                { retry: { attempts: "1", wait: "60s", backoffMode: "BACKOFF_MODE_LINEAR" } },
                { rollback: { destinationPhase: "stable", disableRollbackIfRolloutPending: true } }
              ]
            }
          }
        ]
      })
    })
  )

  it.effect("translates policies with their windows", () =>
    Effect.gen(function* () {
      const { policies } = yield* readDelivery(root)
      const weekend = policies.map(policyInput).find(({ name }) => name === "prod-weekend")
      expect(weekend).toMatchObject({
        rules: [
          {
            rolloutRestriction: {
              actions: ["CREATE", "ADVANCE"],
              invokers: ["DEPLOY_AUTOMATION"],
              timeWindows: {
                weeklyWindows: [
                  {
                    daysOfWeeks: ["SATURDAY", "SUNDAY"],
                    startTime: { hours: 0, minutes: 0 },
                    endTime: { hours: 24, minutes: 0 }
                  }
                ]
              }
            }
          }
        ]
      })
    })
  )
})
