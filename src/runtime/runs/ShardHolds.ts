/**
 * Holds a shard for work that the library does not know of: while there is some, the shard is not given away.
 *
 * Each held shard has one entity of the library's, with one call that ends when the work does. What the library does with an
 * entity whose shard goes is then done with the work: it may end, for as long as entities may, and is cut thereafter, or at
 * once where the locks can't be trusted; and the lock is released when all of it is over.
 */
import {
  Entity,
  EntityAddress,
  EntityId,
  EntityType,
  Envelope,
  Message,
  type ShardId,
  type Sharding
} from "@effect/cluster"
import { Headers } from "@effect/platform"
import { Rpc } from "@effect/rpc"
import { Deferred, Duration, Effect, Exit, FiberId, Option, Runtime, Schedule } from "effect"

/** How often it is looked whether a held shard goes, or has had no work for long. */
const LOOK = "50 millis"
/** How long a shard without work stays held: to hold it costs as much as some executions. */
const IDLE = Duration.toMillis("10 seconds")

const Hold = Entity.make("Workflow/-/Runs", [Rpc.make("hold")])
const TYPE = EntityType.EntityType.make(Hold.type)

interface Held {
  readonly shard: ShardId.ShardId
  /** Fails when the shard is not this runner's. */
  readonly opened: Deferred.Deferred<void, unknown>
  readonly over: Deferred.Deferred<void>
  isOpen: boolean
  leaving: boolean
  work: number
  idleSince: number
}

/** A piece of work on a held shard. */
export interface Work {
  /** `undefined` when the shard is held already; otherwise to be waited for before the work begins. */
  readonly held: Effect.Effect<void, unknown> | undefined
  readonly end: () => void
}

export interface ShardHolds {
  readonly begin: (shard: ShardId.ShardId) => Work
}

/** `cut` ends what is at work on a shard, and returns when that has ended. */
export const make = (sharding: Sharding.Sharding["Type"], cut: (shard: ShardId.ShardId) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const clock = yield* Effect.clock
    const now = () => clock.unsafeCurrentTimeMillis()
    const all = new Map<string, Held>()

    const release = (held: Held) => {
      if (all.get(held.shard.toString()) === held) all.delete(held.shard.toString())
      Deferred.unsafeDone(held.over, Exit.void)
    }

    yield* sharding.registerEntity(
      Hold,
      Effect.succeed({
        hold: ({ address }: Entity.Request<Rpc.Any>) =>
          Effect.suspend(() => {
            const held = all.get(address.shardId.toString())
            if (held === undefined) return Effect.void
            held.isOpen = true
            Deferred.unsafeDone(held.opened, Exit.void)
            return Effect.onInterrupt(Deferred.await(held.over), () =>
              Effect.zipRight(
                cut(held.shard),
                Effect.sync(() => release(held))
              )
            )
          })
      }),
      { maxIdleTime: IDLE }
    )

    const open = (held: Held) =>
      Effect.flatMap(sharding.getSnowflake, (requestId) =>
        sharding.send(
          new Message.IncomingRequest({
            envelope: Envelope.makeRequest<Rpc.Any>({
              requestId,
              address: new EntityAddress.EntityAddress({
                entityType: TYPE,
                entityId: EntityId.EntityId.make(held.shard.toString()),
                shardId: held.shard
              }),
              tag: "hold" as never,
              payload: undefined as never,
              headers: Headers.empty
            }) as unknown as Envelope.Request.PartialEncoded,
            lastSentReply: Option.none(),
            respond: () => Effect.void
          })
        )
      ).pipe(
        Effect.catchAllCause((cause) =>
          Effect.sync(() => {
            release(held)
            Deferred.unsafeDone(held.opened, Exit.failCause(cause))
          })
        )
      )

    yield* Effect.sync(() => {
      for (const held of all.values()) {
        held.leaving ||= !sharding.hasShardId(held.shard)
        // One that never opened was asked for when the shard was gone already.
        if (held.leaving && !held.isOpen) Deferred.unsafeDone(held.opened, Exit.interrupt(FiberId.none))
        if (held.work === 0 && (held.leaving || now() - held.idleSince > IDLE)) release(held)
      }
    }).pipe(Effect.schedule(Schedule.spaced(LOOK)), Effect.interruptible, Effect.forkScoped)

    // Called before the entities end, and after all that begins work has: they need not wait for one to look.
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        for (const held of all.values()) if (held.work === 0) release(held)
      })
    )

    const fork = Runtime.runFork(yield* Effect.runtime<never>())
    const holdOf = (shard: ShardId.ShardId): Held => {
      const known = all.get(shard.toString())
      if (known !== undefined) return known
      const held: Held = {
        shard,
        opened: Deferred.unsafeMake(FiberId.none),
        over: Deferred.unsafeMake(FiberId.none),
        isOpen: false,
        leaving: false,
        work: 0,
        idleSince: 0
      }
      all.set(shard.toString(), held)
      fork(open(held))
      return held
    }
    return {
      begin: (shard) => {
        const held = holdOf(shard)
        held.work++
        return {
          held: held.isOpen ? undefined : Deferred.await(held.opened),
          end: () => {
            held.work--
            held.idleSince = now()
            if (held.work === 0 && held.leaving) release(held)
          }
        }
      }
    } satisfies ShardHolds
  })
