/** What a rollout's last hook can ask of the server that runs it: the record of D6, with the real API instead of recorded answers. */
import { hostname } from "node:os"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { learn, placeFromEnv } from "../../src/gates/record/CloudDeploy.ts"
import { awaitState, GOOD, make, PIPELINE, prepare } from "../support/rehearsal-server.ts"

it.scopedLive(
  "tells a hook who approved its rollout, its images and when its jobs ran, and lets it change nothing",
  () =>
    Effect.gen(function* () {
      const server = yield* make({ takesMs: 0 })
      yield* server.start
      expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
      const rollouts = `${PIPELINE}/releases/r-1/rollouts`
      const begin = (targetId: string) =>
        server.call("POST", `v1/${rollouts}?rolloutId=to-${targetId}`, { targetId }).pipe(Effect.asVoid)
      yield* begin("dev")
      yield* awaitState(server, `${rollouts}/to-dev`, ["SUCCEEDED"])
      yield* begin("prod")
      yield* awaitState(server, `${rollouts}/to-prod`, ["PENDING_APPROVAL"])
      expect(yield* server.call("POST", `v1/${rollouts}/to-prod:approve`, { approved: true })).toMatchObject({
        status: 200
      })
      yield* awaitState(server, `${rollouts}/to-prod`, ["SUCCEEDED"])

      const lastOf = (target: string) =>
        server.environments().findLast((env) => env["HOOK"] === "after" && env["CLOUD_DEPLOY_TARGET"] === target)!
      const known = (env: Readonly<Record<string, string>>) => learn(placeFromEnv(env)!)
      const dev = yield* known(lastOf("dev"))
      expect(dev.approval).toEqual({ state: "DOES_NOT_NEED_APPROVAL", at: null, by: null })
      const prod = yield* known(lastOf("prod"))
      expect(prod.unknown).toEqual([])
      expect(prod.images).toEqual([{ name: "tiny", tag: GOOD }])
      expect(prod.approval).toEqual({
        state: "APPROVED",
        at: expect.stringMatching(/^\d{4}-/),
        by: expect.stringMatching(new RegExp(`^[^@]+@${hostname()}$`))
      })
      // The first rollout to a target skips its canary phase.
      expect(prod.jobs?.map(({ phase, job, state }) => `${phase}/${job} ${state}`)).toEqual([
        "stable/predeploy SUCCEEDED",
        "stable/deploy SUCCEEDED",
        "stable/verify SUCCEEDED",
        "stable/postdeploy SUCCEEDED"
      ])
      for (const { startedAt, endedAt } of prod.jobs ?? []) {
        expect(Date.parse(endedAt ?? "")).toBeGreaterThanOrEqual(Date.parse(startedAt))
      }

      const { CLOUD_DEPLOY_API_URL: url, CLOUD_DEPLOY_API_TOKEN: token } = lastOf("prod")
      const as = (method: string, path: string, body?: object) =>
        Effect.promise(async () => {
          const response = await fetch(`${url}/${path}`, {
            method,
            headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
            ...(body === undefined ? {} : { body: JSON.stringify(body) })
          })
          return { status: response.status, body: await response.json() }
        })
      const refused = { status: 401, body: { error: { status: "UNAUTHENTICATED" } } }
      expect(yield* as("POST", `v1/${rollouts}?rolloutId=again`, { targetId: "dev" })).toMatchObject(refused)
      expect(yield* as("POST", `v1/${rollouts}/to-prod:cancel`, {})).toMatchObject(refused)
      expect(yield* as("GET", "console/state")).toMatchObject(refused)
      const other = { filter: 'protoPayload.methodName="google.cloud.deploy.v1.CloudDeploy.CreateRelease"' }
      expect(yield* as("POST", "v2/entries:list", other)).toMatchObject({
        status: 400,
        body: { error: { status: "INVALID_ARGUMENT" } }
      })
    }),
  { timeout: 240_000 }
)
