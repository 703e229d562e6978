/**
 * The network between one process and Postgres, as a relay on an address of its own, so that it can fail as networks do and
 * no process can fake: packets that go nowhere and no reset, and an answer that is lost after its request was carried out.
 */
import { connect, createServer, type Socket } from "node:net"
import { Effect, type Scope } from "effect"

/**
 * When Postgres ends the session of a peer that acknowledges nothing: keepalives after 3 s, two more with 2 s between
 * (`runtime/Database.ts`). The relay's own kernel acknowledges everything, so it does what the timeout would do.
 */
const KEEPALIVE_GIVES_UP = 7_000

interface Connection {
  /** From the process. */
  readonly down: Socket
  /** To Postgres. */
  readonly up: Socket
  /** Nothing passes, in either direction, and neither side is told. */
  dark: boolean
  /** Its process's machine is gone: it stays dark. */
  abandoned: boolean
  /** The next answer does not arrive. */
  doomed: boolean
  givesUp?: NodeJS.Timeout
}

export interface Link {
  readonly host: string
  /** Until `mend` nothing passes, neither on connections that are open nor on new ones. */
  readonly cut: Effect.Effect<void>
  /** No answer is lost any more. What was sent meanwhile arrives, as it does when packets are sent again; or a reset, where Postgres has given up. */
  readonly mend: Effect.Effect<void>
  /** The machine of the process loses power: nothing passes any more on the connections that are open. New ones are another's. */
  readonly abandon: Effect.Effect<void>
  /** Carries out the next `count` requests that write, and ends their connections instead of passing the answers on. */
  readonly loseAnswers: (count: number) => Effect.Effect<void>
}

/** A commit, or a statement that commits by itself. In the protocol's messages the text stands as it is. */
const WRITES = /\b(COMMIT|INSERT INTO|UPDATE )/i

export const link = (options: {
  readonly host: string
  readonly target: { readonly host: string; readonly port: number }
}): Effect.Effect<Link, never, Scope.Scope> =>
  Effect.gen(function* () {
    const all = new Set<Connection>()
    let isCut = false
    let lose = 0

    const darken = (connection: Connection) => {
      if (connection.dark) return
      connection.dark = true
      connection.down.pause()
      connection.up.pause()
      connection.givesUp = setTimeout(() => connection.up.destroy(), KEEPALIVE_GIVES_UP).unref()
    }

    const relay = (down: Socket) => {
      const up = connect({ ...options.target, noDelay: true })
      down.setNoDelay(true)
      const connection: Connection = { down, up, dark: false, abandoned: false, doomed: false }
      all.add(connection)
      down.on("data", (chunk) => {
        if (lose > 0 && !connection.doomed && WRITES.test(chunk.toString("latin1"))) {
          lose -= 1
          connection.doomed = true
        }
        up.write(chunk)
      })
      up.on("data", (chunk) => {
        if (connection.doomed) {
          down.destroy()
          up.end()
          return
        }
        down.write(chunk)
      })
      for (const [one, other] of [
        [down, up],
        [up, down]
      ] as const) {
        one.on("error", () => {})
        one.on("close", () => {
          // One that is dark is needed until its process has been told.
          if (!connection.dark || connection.abandoned) all.delete(connection)
          if (connection.abandoned) down.destroy()
          else if (!connection.dark) other.destroy()
        })
      }
      if (isCut) darken(connection)
    }

    const server = createServer(relay)
    yield* Effect.acquireRelease(
      Effect.async<void>((resume) => {
        server.listen({ host: options.host, port: options.target.port, exclusive: true }, () => resume(Effect.void))
      }),
      () =>
        Effect.sync(() => {
          server.close()
          for (const { down, up } of all) {
            down.destroy()
            up.destroy()
          }
        })
    )
    return {
      host: options.host,
      cut: Effect.sync(() => {
        isCut = true
        for (const connection of all) darken(connection)
      }),
      mend: Effect.sync(() => {
        isCut = false
        lose = 0
        for (const connection of all) {
          const { down, up, abandoned } = connection
          if (!connection.dark || abandoned) continue
          connection.dark = false
          clearTimeout(connection.givesUp)
          if (up.destroyed) down.destroy()
          // Its process was killed in the dark. The kernel has said so again and again, and now Postgres hears it: without
          // this a session would hold the shards of a process that is no more for as long as the schedule lasts.
          if (down.destroyed) up.destroy()
          down.resume()
          up.resume()
        }
      }),
      abandon: Effect.sync(() => {
        for (const connection of all) {
          darken(connection)
          connection.abandoned = true
        }
      }),
      loseAnswers: (count) =>
        Effect.sync(() => {
          lose += count
        })
    }
  })
