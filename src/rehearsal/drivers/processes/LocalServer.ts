/** A small HTTP server of the cluster: JSON or text answers, ended with the scope. */
import { createServer, type IncomingMessage } from "node:http"
import type { AddressInfo } from "node:net"
import { Effect, type Scope } from "effect"
import { DriverFailed } from "../Driver.ts"

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly headers?: Readonly<Record<string, string>>
}

export const text = (status: number, body: string): Answer => ({ status, body })

/** Listens on a free port of `host`; gives `host:port`. A handler that throws answers 500 with the message. */
export const serve = (
  host: string,
  handle: (request: IncomingMessage, url: URL) => Answer | Promise<Answer>
): Effect.Effect<string, DriverFailed, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.async<ReturnType<typeof createServer>, DriverFailed>((resume) => {
      const server = createServer((request, response) => {
        Promise.resolve()
          .then(() => handle(request, new URL(request.url ?? "/", `http://${host}`)))
          .catch((cause: unknown) => text(500, cause instanceof Error ? cause.message : String(cause)))
          .then(({ status, body, headers }) => {
            const isText = typeof body === "string"
            response.writeHead(status, { "content-type": isText ? "text/plain" : "application/json", ...headers })
            response.end(isText ? body : JSON.stringify(body))
          })
      })
      server.once("error", (error) =>
        resume(new DriverFailed({ message: `A server of the cluster can't listen on ${host}: ${error.message}.` }))
      )
      server.listen(0, host, () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  ).pipe(Effect.map((server) => `${host}:${(server.address() as AddressInfo).port}`))
