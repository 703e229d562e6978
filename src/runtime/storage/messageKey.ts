/** The column `message_id` of the engine's table of messages, by which one that has a primary key is stored once. */
import { Effect, Encoding } from "effect"

/** Like the library: the column holds 255 characters, a longer key its digest. */
export const messageKey = (primaryKey: string): Effect.Effect<string> =>
  primaryKey.length <= 255
    ? Effect.succeed(primaryKey)
    : Effect.map(
        Effect.promise(() => crypto.subtle.digest("SHA-256", new TextEncoder().encode(primaryKey))),
        (digest) => Encoding.encodeHex(new Uint8Array(digest))
      )
