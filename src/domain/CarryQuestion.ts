/**
 * What a gate asks a runner that still holds another release: could you carry what this database holds now?
 *
 * A port of its own, so that a network policy can give it to the gate's pods alone; the path, the port and the audience of the
 * token are part of the contract between releases, since the one that asks is never the one that answers.
 */
import { Schema } from "effect"

export const PATH = "/carries"
export const PORT = 8090
/** No other service takes a token with this audience, and a token for another one is not taken here. */
export const AUDIENCE = "https://agent-runners.internal"

export const Answer = Schema.Struct({
  /** The release that answers. */
  release: Schema.String,
  /** How its own gate ended: 0, 10 or 11. */
  exitCode: Schema.Int,
  /** The evidence of its own gate. */
  evidence: Schema.Unknown
})
export type Answer = typeof Answer.Type
