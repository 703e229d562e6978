import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { testGateway } from "../../test/support/gateway.ts"
import * as GatewayClient from "./GatewayClient.ts"

it.scopedLive(
  "starts, follows and approves a run as the gateway's contract says, and passes on why one is refused",
  () =>
    Effect.gen(function* () {
      const gateway = yield* testGateway()
      const client = GatewayClient.make({ baseUrl: gateway.url, token: Effect.succeed(gateway.token) })
      const run = { sessionId: "s1", runId: "r1", message: "hello" }
      expect(yield* client.startRun(run)).toMatchObject({ runId: "r1", status: "accepted", runner: null })
      expect(yield* client.written("r1")).toBe(1)
      expect(yield* client.approve("r1")).toMatchObject({ runId: "r1" })
      yield* gateway.request("POST", "/runs/r1/cancel")
      yield* client.waitFor("r1", "cancelled", 10_000)

      const refused = yield* Effect.flip(client.startRun({ ...run, sessionId: "s2" }))
      expect(refused.message).toContain(`Starting run r1 at ${gateway.url} failed: run-in-other-session: `)
      expect((yield* Effect.flip(client.status("none"))).message).toContain("run-not-found: ")
      const stranger = GatewayClient.make({ baseUrl: gateway.url, token: Effect.succeed("none") })
      expect((yield* Effect.flip(stranger.status("r1"))).message).toContain("not-signed-in: ")
      const away = GatewayClient.make({ baseUrl: "http://127.0.0.1:1", token: Effect.succeed("none") })
      expect((yield* Effect.flip(away.status("r1"))).message).toContain(
        "Asking for run r1 at http://127.0.0.1:1 failed: "
      )
    })
)
