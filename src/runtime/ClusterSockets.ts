/**
 * The sockets between the processes of a cluster: what comes up within one turn of the event loop leaves in one write.
 *
 * The library writes every frame by itself. With group commit many executions go on at the same moment, each with a frame for
 * the same few processes: a system call each, and the other side is woken by each. As with rows (`Batcher`), there is no timer.
 */
import { connect, type Socket as NetSocket } from "node:net"
import { type RunnerAddress, Runners, type ShardingConfig } from "@effect/cluster"
import { Socket, SocketServer } from "@effect/platform"
import { NodeClusterSocket, NodeSocket } from "@effect/platform-node"
import { RpcClient, RpcSerialization } from "@effect/rpc"
import { Context, Effect, Fiber, Layer, Option } from "effect"

/** What is written to it waits for the end of the turn. */
export const gathered = (socket: NetSocket): NetSocket => {
  const write = socket.write
  let gathering = false
  socket.write = ((...args: Parameters<NetSocket["write"]>) => {
    if (!gathering) {
      gathering = true
      socket.cork()
      setImmediate(() => {
        gathering = false
        socket.uncork()
      })
    }
    return write.apply(socket, args)
  }) as NetSocket["write"]
  return socket
}

/** Nobody takes sockets any more. */
const refuse = Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (conn) =>
  Effect.sync(() => {
    if (Option.isSome(conn)) conn.value.destroy()
  })
)

/**
 * The port is open for a moment longer than somebody takes what comes to it, and whoever was told that this process goes comes
 * again just then. The library waits until the last socket is closed, and such a one never is: a process that was told to stop
 * lived on until it was killed. So those are closed here until the port is.
 */
export const server: Layer.Layer<
  SocketServer.SocketServer,
  SocketServer.SocketServerError,
  ShardingConfig.ShardingConfig
> = Layer.scoped(
  SocketServer.SocketServer,
  Effect.gen(function* () {
    let refusing: Fiber.RuntimeFiber<never, SocketServer.SocketServerError> | undefined
    yield* Effect.addFinalizer(() => (refusing === undefined ? Effect.void : Fiber.interrupt(refusing)))
    const library = Context.get(yield* Layer.build(NodeClusterSocket.layerSocketServer), SocketServer.SocketServer)
    yield* Effect.addFinalizer(() =>
      Effect.map(Effect.forkDaemon(Effect.interruptible(library.run(() => refuse))), (fiber) => {
        refusing = fiber
      })
    )
    return SocketServer.SocketServer.of({
      ...library,
      run: (handler) =>
        library.run((socket) =>
          Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (conn) => {
            if (Option.isSome(conn)) gathered(conn.value)
            return handler(socket)
          })
        )
    })
  })
)

/** As `NodeClusterSocket.layerClientProtocol` has them. */
const TIMEOUTS = { openTimeout: 1000, timeout: 5500 }

const open = ({ host, port }: RunnerAddress.RunnerAddress) =>
  Effect.flatMap(
    Effect.acquireRelease(
      Effect.sync(() => gathered(connect({ host, port, timeout: TIMEOUTS.timeout }))),
      (socket) => Effect.sync(() => socket.destroySoon())
    ),
    (socket) =>
      Effect.async<NetSocket, Socket.SocketError>((resume) => {
        socket.once("connect", () => resume(Effect.succeed(socket)))
        socket.on("error", (cause) => resume(Effect.fail(new Socket.SocketGenericError({ reason: "Open", cause }))))
      })
  )

export const protocol: Layer.Layer<Runners.RpcClientProtocol, never, RpcSerialization.RpcSerialization> = Layer.effect(
  Runners.RpcClientProtocol,
  Effect.map(RpcSerialization.RpcSerialization, (serialization) =>
    Effect.fnUntraced(function* (address: RunnerAddress.RunnerAddress) {
      const socket = yield* NodeSocket.fromDuplex(open(address), TIMEOUTS)
      return yield* RpcClient.makeProtocolSocket().pipe(
        Effect.provideService(Socket.Socket, socket),
        Effect.provideService(RpcSerialization.RpcSerialization, serialization)
      )
    })
  )
)
