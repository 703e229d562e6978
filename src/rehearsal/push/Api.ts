/** The server's own API, as the hooks of its git remote use it. */
import { Effect } from "effect"
import type { ServerAddress } from "../api/Serve.ts"
import { ToolFailed } from "../Errors.ts"

export const PARENT = "projects/rehearsal/locations/us-central1"

export interface Answer {
  readonly status: number
  readonly body: { readonly error?: { readonly message: string }; readonly [field: string]: unknown }
}

export const ask = (
  server: ServerAddress,
  method: string,
  path: string,
  body?: Buffer | object
): Effect.Effect<Answer, ToolFailed> =>
  Effect.tryPromise({
    try: async () => {
      const response = await fetch(`${server.url}/${path}`, {
        method,
        headers: {
          "content-type": "application/json",
          ...(server.token === null ? {} : { authorization: `Bearer ${server.token}` })
        },
        ...(body === undefined ? {} : { body: Buffer.isBuffer(body) ? new Uint8Array(body) : JSON.stringify(body) })
      })
      return { status: response.status, body: (await response.json()) as Answer["body"] }
    },
    catch: () => new ToolFailed({ message: `The server at ${server.url} does not answer. Start it with "make serve".` })
  })

export const must = (answer: Effect.Effect<Answer, ToolFailed>) =>
  Effect.flatMap(answer, ({ status, body }) =>
    status === 200
      ? Effect.succeed(body)
      : Effect.fail(new ToolFailed({ message: body.error?.message ?? `The server answered ${status}.` }))
  )
