import { connect, createServer, type Server, type Socket } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { claimSubnet } from "../../net/Loopback.ts"
import { type Endpoint, open } from "./ServiceProxy.ts"

const PORT = 8080

/** Says its name, then echoes; ends when the other side ends. */
const endpoint = (host: string, name: string) =>
  Effect.acquireRelease(
    Effect.async<Server>((resume) => {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        socket.on("error", () => {})
        socket.write(`${name}\n`)
        socket.pipe(socket)
      })
      server.listen(PORT, host, () => resume(Effect.succeed(server)))
    }),
    (server) => Effect.sync(() => server.close())
  )

const dial = (at: Endpoint) =>
  Effect.acquireRelease(
    Effect.sync(() => connect({ ...at, allowHalfOpen: true })),
    (socket) => Effect.sync(() => socket.destroy())
  )

const until = (socket: Socket, text: string) =>
  Effect.promise(
    () =>
      new Promise<string>((resolve, reject) => {
        let seen = ""
        socket.on("error", reject)
        socket.on("data", (data) => {
          seen += data.toString()
          if (seen.endsWith(text)) resolve(seen)
        })
      })
  )

const hello = (at: Endpoint) => Effect.scoped(Effect.flatMap(dial(at), (socket) => until(socket, "\n")))

it.scopedLive(
  "takes the endpoints in turn, passes over one that refuses, and leaves open connections where they are",
  () =>
    Effect.gen(function* () {
      const subnet = yield* claimSubnet
      const [one, two, three] = [60, 61, 62].map((last) => ({ host: subnet.address(last), port: PORT })) as [
        Endpoint,
        Endpoint,
        Endpoint
      ]
      yield* endpoint(one.host, "one")
      yield* endpoint(two.host, "two")
      let ready: ReadonlyArray<Endpoint> = [one, two]
      const at = { host: subnet.address(10), port: PORT }
      yield* open(at, () => ready)

      expect(new Set([yield* hello(at), yield* hello(at)])).toEqual(new Set(["one\n", "two\n"]))

      // Nobody listens on the third address.
      ready = [three, one]
      expect([yield* hello(at), yield* hello(at), yield* hello(at)]).toEqual(["one\n", "one\n", "one\n"])

      const kept = yield* dial(at)
      expect(yield* until(kept, "\n")).toBe("one\n")
      ready = [two]
      kept.write("still here\n")
      expect(yield* until(kept, "here\n")).toBe("still here\n")
      expect(yield* hello(at)).toBe("two\n")
      // Half an end is passed on, and what is still on its way arrives.
      kept.end("last\n")
      expect(yield* until(kept, "last\n")).toBe("last\n")
    })
)

it.scopedLive("resets a connection when no endpoint is ready", () =>
  Effect.gen(function* () {
    const subnet = yield* claimSubnet
    const at = { host: subnet.address(10), port: PORT }
    yield* open(at, () => [])
    const socket = yield* dial(at)
    const code = yield* Effect.promise(
      () => new Promise((resolve) => socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code)))
    )
    expect(code).toBe("ECONNRESET")
  })
)
