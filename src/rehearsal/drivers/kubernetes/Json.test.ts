import { expect, it } from "@effect/vitest"
import { type Node, takingPods } from "./Json.ts"

it("knows the nodes that pods can go to", () => {
  const node = (name: string, spec: Node["spec"] = {}, ready = "True"): Node => ({
    metadata: { name, uid: name },
    spec,
    status: { conditions: [{ type: "Ready", status: ready }] }
  })
  expect(
    takingPods([
      node("a"),
      node("control-plane", { taints: [{ key: "node-role.kubernetes.io/control-plane", effect: "NoSchedule" }] }),
      node("cordoned", { unschedulable: true }),
      node("lost", {}, "Unknown"),
      node("b", { taints: [{ key: "spot", effect: "PreferNoSchedule" }] })
    ])
  ).toEqual(["a", "b"])
})
