import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duration, Either } from "effect"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DRAIN_SECONDS } from "../src/gates/manifests/rules/DrainTime.ts"
import { readGateway } from "../src/gateway/GatewaySettings.ts"
import { runnerConfig } from "../src/runtime/ClusterSettings.ts"
import { readRunner } from "../src/runtime/Settings.ts"

/** After the drain a process still releases its locks and closes its pool. */
const RELEASE_SECONDS = 5

let secret: string
beforeAll(() => {
  secret = mkdtempSync(join(tmpdir(), "agents-secret-"))
  for (const [name, value] of Object.entries({ host: "h", database: "d", username: "u", password: "p" })) {
    writeFileSync(join(secret, name), value)
  }
})
afterAll(() => rmSync(secret, { recursive: true, force: true }))

describe("the drain that the manifest gate counts with", () => {
  it("is enough for a runner to let activities finish", () => {
    const settings = Either.getOrThrow(
      readRunner({ RUNNER_HOST: "runner-0", POD_NAME: "runner-0", DATABASE_SECRET_DIR: secret })
    )
    const { entityTerminationTimeout } = runnerConfig(settings)
    expect(Duration.toSeconds(Duration.decode(entityTerminationTimeout ?? 0))).toBeGreaterThan(0)
    expect(Duration.toSeconds(Duration.decode(entityTerminationTimeout ?? 0)) + RELEASE_SECONDS).toBeLessThanOrEqual(
      DRAIN_SECONDS
    )
  })

  it("is enough for a gateway to answer what is in flight", () => {
    const { serve } = Either.getOrThrow(
      readGateway({
        DATABASE_SECRET_DIR: secret,
        IDENTITY_ISSUER: "https://issuer.example",
        IDENTITY_AUDIENCE: "agent-gateway",
        IDENTITY_JWKS_URL: "https://issuer.example/keys"
      })
    )
    const seconds = [serve.drainWindow, serve.drainLimit, serve.idleLimit].reduce(
      (sum: number, part) => sum + Duration.toSeconds(Duration.decode(part)),
      0
    )
    expect(seconds + RELEASE_SECONDS).toBeLessThanOrEqual(DRAIN_SECONDS)
  })
})
