import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { learn, placeFromEnv } from "../gates/record/CloudDeploy.ts"
import { open, PLACE } from "./RolloutApi.ts"
import type { JobKind } from "./rollout/Plan.ts"

const IMAGES = { agents: "agents@sha256:1", "agents-smoke": "agents-smoke@sha256:2" }

it.scopedLive("answers a rollout's last hook as Cloud Deploy and the audit log do, and nobody else", () =>
  Effect.gen(function* () {
    const api = yield* open("127.0.0.1", "ann@laptop")
    const approvedAt = Date.parse("2026-11-25T10:00:00Z")
    const told = { pipeline: "agents", release: "r-1", images: IMAGES }
    yield* api.begin({ ...told, rollout: "r-1-to-dev-0001", approvedAt: undefined })
    const { onEvent } = yield* api.begin({ ...told, rollout: "r-1-to-prod-0002", approvedAt })
    const begins = (kind: JobKind, name: string = kind) =>
      onEvent({ _tag: "JobStarted", phaseId: "stable", kind, name })
    const ends = (kind: JobKind, name: string = kind) =>
      onEvent({
        _tag: "JobEnded",
        run: { phaseId: "stable", kind, name, state: "SUCCEEDED", durationMs: 1, log: [] }
      })
    const hooks = ["gate-workflows", "migrate"]
    for (const name of hooks) yield* Effect.zipRight(begins("predeploy", name), ends("predeploy", name))
    yield* Effect.zipRight(begins("deploy"), ends("deploy"))
    yield* begins("postdeploy", "record")

    const place = (rollout: string) =>
      placeFromEnv({
        ...api.env,
        CLOUD_DEPLOY_PROJECT_ID: PLACE.project,
        CLOUD_DEPLOY_LOCATION: PLACE.location,
        CLOUD_DEPLOY_DELIVERY_PIPELINE: "agents",
        CLOUD_DEPLOY_RELEASE: "r-1",
        CLOUD_DEPLOY_ROLLOUT: rollout
      })!
    const known = yield* learn(place("r-1-to-prod-0002"))
    expect(known).toMatchObject({
      images: Object.entries(IMAGES).map(([name, tag]) => ({ name, tag })),
      approval: { state: "APPROVED", at: "2026-11-25T10:00:00.000Z", by: "ann@laptop" },
      unknown: []
    })
    expect(known.jobs?.map(({ job, state, endedAt }) => [job, state, endedAt !== null])).toEqual([
      ["predeploy", "SUCCEEDED", true],
      ["deploy", "SUCCEEDED", true],
      ["postdeploy", "IN_PROGRESS", false]
    ])
    expect((yield* learn(place("r-1-to-dev-0001"))).approval).toEqual({
      state: "DOES_NOT_NEED_APPROVAL",
      at: null,
      by: null
    })
    const other = yield* learn({ ...place("r-1-to-prod-0002"), token: "guessed" })
    expect(other.unknown).toHaveLength(3)
    expect(other.unknown[0]).toContain("answered 401")
  })
)
