import { describe, expect, it } from "vitest"
import { ApiError, type Cause } from "./Api.ts"
import { looksLocal } from "./Context.ts"
import { explain } from "./Explain.ts"
import { endOf, jobOf, limitOf } from "./Hook.ts"
import type { Pod } from "./Json.ts"
import { place } from "./Placement.ts"

const set = { apiVersion: "apps/v1", kind: "StatefulSet", metadata: { name: "runtime", namespace: "agents" } }
const error = (status: number, reason: string, message: string, causes: ReadonlyArray<Cause> = []) =>
  new ApiError({ status, reason, message, causes })

describe("an API server's refusal", () => {
  it("of a fixed field says which fields can change, and how to change another", () => {
    const told = explain(
      set,
      error(
        422,
        "Invalid",
        'StatefulSet.apps "runtime" is invalid: spec: Forbidden: updates to statefulset spec for fields other than …',
        [{ field: "spec", reason: "FieldValueForbidden" }]
      ),
      "kind"
    )
    expect(told).toMatchObject({ _tag: "ManifestRefused", object: "StatefulSet/runtime", field: "spec" })
    expect(told.message).toContain("--cascade=orphan")
  })

  it("of a field that somebody else set names who", () => {
    const told = explain(
      set,
      error(409, "Conflict", "Apply failed with 1 conflict", [
        {
          field: ".spec.replicas",
          message: 'conflict with "kubectl-edit" using apps/v1',
          reason: "FieldManagerConflict"
        }
      ]),
      "kind"
    )
    expect(told).toMatchObject({ _tag: "ManifestRefused", field: ".spec.replicas" })
    expect(told.message).toContain("belongs to kubectl-edit")
  })

  it("that never came is no verdict on the manifest", () => {
    expect(explain(set, error(0, "Unreachable", "connect ECONNREFUSED"), "kind")._tag).toBe("DriverFailed")
  })
})

describe("a context", () => {
  it.each([
    ["https://127.0.0.1:6443", true],
    ["https://localhost:16443", true],
    ["https://[::1]:6443", true],
    ["https://34.68.1.2", false],
    ["https://127.0.0.1.example.com", false],
    ["https://localhost.example.com", false],
    ["", false]
  ])("at %s is local: %s", (server, local) => {
    expect(looksLocal({ name: "kind-kind", server })).toBe(local)
  })
})

describe("placement", () => {
  it("changes the namespace in fields and DNS names, and nothing that only looks like it", () => {
    const object = {
      ...set,
      spec: {
        env: [{ value: "$(POD_NAME).runners.agents.svc.cluster.local" }, { value: "agents" }],
        subjects: [{ namespace: "agents" }, { namespace: "gmp-system" }],
        image: "registry/agents.svcs/agents@sha256:1"
      }
    }
    expect(place(object, "agents", "rehearsal-prod")).toEqual({
      ...set,
      metadata: { name: "runtime", namespace: "rehearsal-prod" },
      spec: {
        env: [{ value: "$(POD_NAME).runners.rehearsal-prod.svc.cluster.local" }, { value: "agents" }],
        subjects: [{ namespace: "rehearsal-prod" }, { namespace: "gmp-system" }],
        image: "registry/agents.svcs/agents@sha256:1"
      }
    })
  })

  it("writes a Secret's text as data, so that a key that is left out goes", () => {
    const secret = { apiVersion: "v1", kind: "Secret", metadata: { name: "s" }, stringData: { password: "x" } }
    expect(place(secret, "agents", "a")).toEqual({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "s" },
      data: { password: "eA==" }
    })
  })
})

describe("a hook's Job", () => {
  const job = {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { name: "migrate" },
    spec: {
      activeDeadlineSeconds: 60,
      template: {
        spec: {
          containers: [
            {
              name: "migrate",
              env: [
                { name: "A", value: "own" },
                { name: "B", value: "own" }
              ]
            }
          ]
        }
      }
    }
  }

  it("gets a name of its own, Cloud Deploy's variables once each, and is never retried", () => {
    const made = jobOf(job, { name: "migrate-1", env: { A: "given" }, limitMs: limitOf(job, 900_000) })
    expect(made).toMatchObject({
      metadata: { name: "migrate-1" },
      // Behind our own deadline of 60 s: the cluster would delete the pod, and with it the log.
      spec: { backoffLimit: 0, activeDeadlineSeconds: 90, template: { spec: { restartPolicy: "Never" } } }
    })
    const [container] = (made["spec"] as typeof job.spec).template.spec.containers
    expect(container?.env).toEqual([
      { name: "B", value: "own" },
      { name: "A", value: "given" }
    ])
  })

  it.each([
    ["Running", undefined, undefined],
    ["Succeeded", 0, 0],
    ["Failed", 10, 10],
    // Evicted or lost with its node: no container says how it ended.
    ["Failed", undefined, 1]
  ] as const)("whose pod is %s with exit code %s ended with %s", (phase, exitCode, expected) => {
    const pod: Pod = {
      metadata: { name: "p", uid: "1" },
      spec: { containers: [] },
      status: {
        phase,
        containerStatuses:
          exitCode === undefined
            ? []
            : [{ name: "c", ready: false, restartCount: 0, image: "", state: { terminated: { exitCode } } }]
      }
    }
    expect(endOf(pod)?.exitCode).toBe(expected)
  })
})
