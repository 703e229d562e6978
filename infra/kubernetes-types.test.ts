import { beforeAll, describe, expect, it } from "vitest"
import type { KubeObject } from "../src/gates/manifests/Workload.ts"
import { type Manifests, manifests, root } from "./testing/facts.ts"
import { typeErrors } from "./testing/kubernetesTypes.ts"

let facts: Manifests
beforeAll(async () => {
  facts = await manifests()
})

describe("every manifest", () => {
  it("has only fields that Kubernetes knows, with values of their types", () => {
    const objects = [...Object.values(facts.overlays).flat(), ...Object.values(facts.jobs), ...facts.platform]
    expect(objects.length).toBeGreaterThan(40)
    expect(typeErrors(root, objects)).toEqual([])
  })

  it("is refused with a mistyped field, a wrong type, or a kind that nobody has looked at", () => {
    const runtime = facts.overlays["k8s/overlays/dev"]!.find(({ kind }) => kind === "StatefulSet")!
    const edited = (from: string, to: string): KubeObject => {
      const text = JSON.stringify(runtime)
      expect(text).toContain(from)
      return JSON.parse(text.replace(from, to)) as KubeObject
    }
    const errors = typeErrors(root, [
      edited('"sleep":', '"slep":'),
      edited('"terminationGracePeriodSeconds":60', '"terminationGracePeriodSeconds":"60s"'),
      { apiVersion: "example.com/v1", kind: "Widget", metadata: { name: "w" } }
    ])
    expect(errors).toHaveLength(3)
    expect(errors[0]).toMatch(/Widget\/w: no type is known/)
    expect(errors[1]).toMatch(/StatefulSet\/effect-agent-runtime: .*'"slep"' does not exist/)
    expect(errors[2]).toMatch(/StatefulSet\/effect-agent-runtime: .*'string' is not assignable/)
  })
})
