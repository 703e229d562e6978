import { connect, createServer, type Socket } from "node:net"
import { RunnerAddress, ShardingConfig } from "@effect/cluster"
import { SocketServer } from "@effect/platform"
import { expect, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Scope } from "effect"
import { gathered, server } from "./ClusterSockets.ts"

/** A socket, and what its other end gets, by reading. */
const pair = Effect.gen(function* () {
  const reads: Array<string> = []
  const accepted = Promise.withResolvers<Socket>()
  const server = createServer((socket) => accepted.resolve(socket))
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  yield* Effect.promise(() => new Promise<void>((resume) => server.listen(0, "127.0.0.1", resume)))
  const address = server.address()
  if (address === null || typeof address === "string") return expect.fail("The server has no port")
  const writing = connect({ host: "127.0.0.1", port: address.port })
  yield* Effect.addFinalizer(() => Effect.sync(() => writing.destroy()))
  const reading = yield* Effect.promise(() => accepted.promise)
  const over = new Promise<void>((resume) => reading.once("end", resume))
  reading.on("data", (chunk) => reads.push(chunk.toString()))
  return { writing, reads, over: Effect.promise(() => over) }
})

const frames = Array.from({ length: 50 }, (_, index) => `frame ${index};`)
/** How often the socket was written to. */
const writes = (socket: Socket) => {
  let count = 0
  const inner = socket as unknown as Record<"_write" | "_writev", (...args: Array<unknown>) => void>
  for (const name of ["_write", "_writev"] as const) {
    const library = inner[name]
    inner[name] = (...args) => {
      count++
      library.apply(socket, args)
    }
  }
  return () => count
}

it.scopedLive("sends what is written in one turn together, in its order, and all of it before the end", () =>
  Effect.gen(function* () {
    const { writing, reads, over } = yield* pair
    yield* Effect.promise(() => new Promise<void>((resume) => writing.once("connect", resume)))
    const count = writes(writing)
    gathered(writing)
    const done = frames.map((frame) => new Promise<void>((resume) => writing.write(frame, () => resume())))
    yield* Effect.promise(() => Promise.all(done))
    expect(count()).toBe(1)
    for (const frame of frames) writing.write(frame)
    writing.end()
    yield* over
    expect(reads.join("")).toBe([...frames, ...frames].join(""))
    expect(count()).toBe(2)
  })
)

it.scopedLive("closes what comes to its port when nobody takes it any more, and does not wait for it to leave", () =>
  Effect.gen(function* () {
    const scope = yield* Scope.make()
    const built = yield* Layer.build(server).pipe(
      Scope.extend(scope),
      Effect.provide(ShardingConfig.layer({ runnerListenAddress: Option.some(RunnerAddress.make("127.0.0.1", 0)) }))
    )
    const { address, run } = Context.get(built, SocketServer.SocketServer)
    if (address._tag !== "TcpAddress") return expect.fail("The server has no port")
    const taking = yield* Effect.fork(run(() => Effect.never))
    yield* Effect.yieldNow()
    yield* Fiber.interrupt(taking)
    const late = connect({ host: "127.0.0.1", port: address.port })
    yield* Effect.addFinalizer(() => Effect.sync(() => late.destroy()))
    const over = new Promise<void>((resume) => late.once("close", () => resume()))
    late.on("error", () => {})
    yield* Effect.promise(() => new Promise<void>((resume) => late.once("connect", resume)))
    const closed = yield* Scope.close(scope, Exit.void).pipe(Effect.disconnect, Effect.timeoutOption("10 seconds"))
    expect(closed._tag).toBe("Some")
    yield* Effect.promise(() => over)
  })
)
