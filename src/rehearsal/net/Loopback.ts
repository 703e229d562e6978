/**
 * A private piece of the loopback range (127.0.0.0/8) for one rehearsal or one test run.
 *
 * Pods need addresses of their own, since every runner listens on port 50000 and every gateway on 8080. Linux routes
 * the whole of 127.0.0.0/8 to the loopback interface, so a `/24` of it serves, without root. Two rehearsals at once get
 * two pieces: the piece is held by a listening socket on its first address, which ends with the process.
 */
import { createServer, type Server } from "node:net"
import { Data, Effect, type Scope } from "effect"

/** The port on `.1` that holds the claim. Above 1023, so that no step needs root. */
const CLAIM_PORT = 60000
const ATTEMPTS = 50

export class LoopbackUnavailable extends Data.TaggedError("LoopbackUnavailable")<{ readonly message: string }> {}

export interface Subnet {
  /** `127.a.b`, without the last number. */
  readonly prefix: string
  /** The address with the given last number, 1 to 254. */
  readonly address: (last: number) => string
}

const listen = (host: string, port: number) =>
  Effect.async<Server, NodeJS.ErrnoException>((resume) => {
    const server = createServer((socket) => socket.destroy())
    server.once("error", (error: NodeJS.ErrnoException) => resume(Effect.fail(error)))
    server.listen({ host, port, exclusive: true }, () => resume(Effect.succeed(server)))
  })

/** Claims a free `/24` for as long as the scope is open. */
export const claimSubnet: Effect.Effect<Subnet, LoopbackUnavailable, Scope.Scope> = Effect.gen(function* () {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const prefix = `127.${64 + Math.floor(Math.random() * 62)}.${Math.floor(Math.random() * 256)}`
    const claimed = yield* Effect.acquireRelease(listen(`${prefix}.1`, CLAIM_PORT), (server) =>
      Effect.sync(() => server.close())
    ).pipe(Effect.either)
    if (claimed._tag === "Right") {
      claimed.right.unref()
      return { prefix, address: (last) => `${prefix}.${last}` }
    }
    if (claimed.left.code === "EADDRNOTAVAIL") {
      return yield* new LoopbackUnavailable({
        message:
          `This system does not accept ${prefix}.1 as a loopback address (${process.platform}). The process driver gives ` +
          "each pod an address of its own in 127.0.0.0/8, which Linux allows as it is. Run it on Linux, or in a Linux container or VM."
      })
    }
  }
  return yield* new LoopbackUnavailable({
    message: `No free piece of 127.0.0.0/8 was found in ${ATTEMPTS} attempts. Are other rehearsals running? End them, then run it again.`
  })
})
