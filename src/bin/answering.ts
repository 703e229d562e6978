/** How a runner answers gates of other releases: with the gate of its own image, to callers whose tokens Google signed. */
import { existsSync } from "node:fs"
import { dirname, join } from "node:path"
import { Effect, Layer } from "effect"
import { AUDIENCE } from "../domain/CarryQuestion.ts"
import * as CarryAnswer from "../runtime/CarryAnswer.ts"
import type { RunnerSettings } from "../runtime/Settings.ts"

/** The gate of this very image, or of this checkout. */
const gate = () => {
  const bundled = join(dirname(process.argv[1] ?? "."), "deliver.js")
  const deliver = existsSync(bundled) ? bundled : join(import.meta.dirname, "deliver.ts")
  return [deliver, "gate", "workflows", "--json"]
}

export const layer = (
  { asked, listenHost }: RunnerSettings,
  release: string
): Layer.Layer<never, CarryAnswer.CarryServerFailed> => {
  if (asked === undefined) return Layer.empty
  const { callers, issuer, jwksUrl, port } = asked
  const load = async () => {
    const { make } = await import("../gateway/Identity.ts")
    return make({ issuer, audience: AUDIENCE, jwksUrl: new URL(jwksUrl) })
  }
  // Loaded when the first gate asks, and kept with its keys: a start has no time for it.
  let identity: ReturnType<typeof load> | undefined
  return CarryAnswer.layer({
    host: listenHost,
    port,
    release,
    callers,
    caller: (token) =>
      Effect.promise(() => (identity ??= load())).pipe(
        Effect.flatMap(({ verifyService }) => verifyService(token)),
        Effect.map(({ email }) => email)
      ),
    gate: gate(),
    env: process.env
  })
}
