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
import { Effect, Layer, Option } from "effect"

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

export const server: Layer.Layer<
  SocketServer.SocketServer,
  SocketServer.SocketServerError,
  ShardingConfig.ShardingConfig
> = Layer.effect(
  SocketServer.SocketServer,
  Effect.map(SocketServer.SocketServer, (library) =>
    SocketServer.SocketServer.of({
      ...library,
      run: (handler) =>
        library.run((socket) =>
          Effect.flatMap(Effect.serviceOption(NodeSocket.NetSocket), (conn) => {
            if (Option.isSome(conn)) gathered(conn.value)
            return handler(socket)
          })
        )
    })
  )
).pipe(Layer.provide(NodeClusterSocket.layerSocketServer))

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
