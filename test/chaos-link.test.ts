/** The relay of the chaos schedules does to a connection what a network would do, and no more. */
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createServer, type Socket } from "node:net"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { claimSubnet } from "../src/rehearsal/net/Loopback.ts"
import { link } from "./chaos/Link.ts"
import { until } from "./support/wait.ts"

const PORT = 5432
const ownSockets = () => process.getActiveResourcesInfo().filter((kind) => kind === "TCPSocketWrap").length

it.scopedLive("lets the server know, once the network is back, that a process was killed while it was away", () =>
  Effect.gen(function* () {
    const subnet = yield* claimSubnet
    const seen = { opened: 0, closed: 0 }
    const sockets: Array<Socket> = []
    const server = createServer((socket) => {
      seen.opened += 1
      sockets.push(socket)
      socket.on("error", () => {})
      socket.on("close", () => (seen.closed += 1))
      socket.resume()
    })
    yield* Effect.acquireRelease(
      Effect.promise(() => once(server.listen(PORT, subnet.address(2)), "listening")),
      () =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    )
    const network = yield* link({ host: subnet.address(3), target: { host: subnet.address(2), port: PORT } })
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, ["-e", `require("node:net").connect(${PORT}, "${subnet.address(3)}").resume()`])
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    const look = Effect.sync(() => ({ ...seen }))
    yield* until("it is connected", look, ({ opened }) => opened === 1)
    yield* network.cut
    const before = ownSockets()
    const ended = once(child, "exit")
    child.kill("SIGKILL")
    yield* Effect.promise(() => ended)
    yield* until("the relay's end towards it is closed", Effect.sync(ownSockets), (now) => now < before)
    expect(seen.closed).toBe(0)
    yield* network.mend
    yield* until("the server knows", look, ({ closed }) => closed === 1)
  })
)
