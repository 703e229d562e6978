/**
 * A ClusterIP as a TCP proxy: each new connection goes to the next endpoint that is ready; those that exist stay where they are.
 *
 * An endpoint that refuses is passed over before a byte was sent, so a pod that died a moment ago costs the client nothing.
 */
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net"
import { Effect, type Scope } from "effect"
import { DriverFailed } from "../Driver.ts"

export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** Loopback connects or refuses at once. This long only when an endpoint's queue is full, or this event loop stood still. */
const CONNECT_TIMEOUT_MS = 10_000

const join = (client: Socket, server: Socket) => {
  client.pipe(server)
  server.pipe(client)
  // A reset on one side is a reset on the other; a plain end was already passed on by the pipe.
  client.on("error", () => server.destroy())
  server.on("error", () => client.resetAndDestroy())
  client.on("close", () => server.destroy())
  server.on("close", () => client.destroySoon())
}

/** The address it listens on: with port 0 the system chose one. */
export const open = (
  address: Endpoint,
  endpoints: () => ReadonlyArray<Endpoint>
): Effect.Effect<Endpoint, DriverFailed, Scope.Scope> => {
  let turn = 0
  const serve = (client: Socket) => {
    client.on("error", () => {})
    client.setNoDelay(true)
    const ready = endpoints()
    const first = turn++
    const attempt = (index: number) => {
      const endpoint = ready[(first + index) % ready.length]
      // A cluster refuses the connection when no endpoint is ready; here it was accepted already, so it is reset.
      if (endpoint === undefined || index >= ready.length) return void client.resetAndDestroy()
      const server = connect({ ...endpoint, allowHalfOpen: true, noDelay: true, timeout: CONNECT_TIMEOUT_MS })
      const next = () => {
        server.removeAllListeners()
        server.on("error", () => {})
        server.destroy()
        if (!client.destroyed) attempt(index + 1)
      }
      server.once("error", next)
      server.once("timeout", next)
      server.once("connect", () => {
        server.removeAllListeners("error")
        server.removeAllListeners("timeout")
        server.setTimeout(0)
        join(client, server)
      })
    }
    attempt(0)
  }
  return Effect.acquireRelease(
    Effect.async<{ readonly server: Server; readonly sockets: Set<Socket> }, DriverFailed>((resume) => {
      const sockets = new Set<Socket>()
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
        sockets.add(client)
        client.once("close", () => sockets.delete(client))
        serve(client)
      })
      server.once("error", (error) =>
        resume(
          new DriverFailed({
            message: `The Service address ${address.host}:${address.port} can't be opened: ${error.message}. Another program holds it; end that program, then apply again.`
          })
        )
      )
      server.listen({ host: address.host, port: address.port, backlog: 1024 }, () =>
        resume(Effect.succeed({ server, sockets }))
      )
    }),
    ({ server, sockets }) =>
      Effect.sync(() => {
        server.close()
        for (const socket of sockets) socket.destroy()
      })
  ).pipe(Effect.map(({ server }) => ({ host: address.host, port: (server.address() as AddressInfo).port })))
}
