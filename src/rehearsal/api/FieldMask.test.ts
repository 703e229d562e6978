import { describe, expect, it } from "@effect/vitest"
import { Either } from "effect"
import { masked, parseMask } from "./FieldMask.ts"

const target = {
  description: "where people are",
  requireApproval: true,
  gke: { cluster: "projects/p/locations/l/clusters/c", internalIp: true },
  labels: { team: "agents", tier: "1" }
}
const change = (given: object, mask: string) =>
  masked(target, given as Record<string, unknown>, Either.getOrThrow(parseMask("Target", mask))!)

describe("a change with an updateMask", () => {
  it("replaces the nested field alone, and leaves what stands beside it", () => {
    const given = { gke: { cluster: "projects/p/locations/l/clusters/d" }, description: "not in the mask" }
    expect(change(given, "gke.cluster")).toEqual({
      ...target,
      gke: { cluster: "projects/p/locations/l/clusters/d", internalIp: true }
    })
    expect(change(given, "gke")).toEqual({ ...target, gke: { cluster: "projects/p/locations/l/clusters/d" } })
  })

  it("clears a field of the mask that the change does not have, nested or not", () => {
    expect(change({}, "gke.internal_ip,description")).toEqual({
      requireApproval: true,
      gke: { cluster: "projects/p/locations/l/clusters/c" },
      labels: { team: "agents", tier: "1" }
    })
  })

  it("makes the message around a field that is set, and none for one that is not", () => {
    expect(change({ run: { location: "projects/p/locations/l" } }, "run.location")).toEqual({
      ...target,
      run: { location: "projects/p/locations/l" }
    })
    expect(change({}, "run.location")).toEqual(target)
  })

  it("replaces a map whole", () => {
    expect(change({ labels: { team: "ops" } }, "labels")).toEqual({ ...target, labels: { team: "ops" } })
  })

  it("takes both spellings, and is everything where it is empty or has a star", () => {
    expect(parseMask("Target", "require_approval, gke.internalIp")).toEqual(
      Either.right([["requireApproval"], ["gke", "internalIp"]])
    )
    for (const mask of ["", "*", "description,*"]) expect(parseMask("Target", mask)).toEqual(Either.right(undefined))
  })

  it.each([
    ["gke.clustr", 'a Target has no field "gke.clustr"'],
    ["constructor", 'a Target has no field "constructor"'],
    ["gke.constructor.name", 'a Target has no field "gke.constructor.name"'],
    ["labels.team", '"labels.team" goes into "labels", which has no fields of its own'],
    ["description.text", 'goes into "description"'],
    ["executionConfigs.usages", 'goes into "executionConfigs"'],
    ["gke..cluster", 'no field "gke..cluster"']
  ])("refuses %s", (mask, says) => {
    const refused = parseMask("Target", mask)
    expect(Either.isLeft(refused) && refused.left).toContain(says)
  })
})
