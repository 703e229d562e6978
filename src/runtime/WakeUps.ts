/**
 * Sees to it that an execution which was woken runs.
 *
 * The library wakes an execution by taking its answer ("suspended") back, so that its message is read again. It reads in a
 * loop: it forgets what was answered here, reads what has no answer, and passes over what was answered since it forgot. A
 * suspension that is stored and taken back during one read is thus read, marked as read, and passed over: nobody looks at it
 * for ten minutes, and an approval that was accepted moves nothing. So whoever wakes looks again here: one that has not
 * begun meanwhile is taken back once more.
 *
 * An entity does one thing at a time, so a run that begins after the answer was handled sees it. As a rule that is so at the
 * first look, which then costs no statement.
 */
import { type Entity, EntityAddress, EntityId, EntityType, MessageStorage, Sharding } from "@effect/cluster"
import { Rpc } from "@effect/rpc"
import { Context, Effect, FiberSet, Layer, Option, Schema } from "effect"

const LOOK = "200 millis"

/** Five minutes: longer than any outage that a runner survives with its shards. */
const TRIES = 1500

type Address = EntityAddress.EntityAddress
type Handlers = Readonly<Record<string, (request: Entity.Request<Rpc.Any>) => object>>

export class WakeUps extends Context.Tag("runtime/WakeUps")<
  WakeUps,
  {
    /** The handlers of an entity; those of workflows are watched. */
    readonly guard: <H>(handlers: H) => H
  }
>() {}

/** The library's key for who waits for a child. Of the address, only what names the message is the parent's. */
const PARENT = "~@effect/workflow/parent"
const Parent = Schema.Struct({ [PARENT]: Schema.Struct({ workflowName: Schema.String, executionId: Schema.String }) })

const decodeParent = Schema.decodeUnknownOption(Parent)

const parentOf = (request: Entity.Request<Rpc.Any>): Address | undefined => {
  // Most have none: a decoding that fails costs a report of why.
  if ((request.payload as { readonly [PARENT]?: unknown } | undefined)?.[PARENT] === undefined) return undefined
  return Option.getOrUndefined(
    Option.map(
      decodeParent(request.payload),
      ({ [PARENT]: parent }) =>
        new EntityAddress.EntityAddress({
          entityType: EntityType.EntityType.make(`Workflow/${parent.workflowName}`),
          entityId: EntityId.EntityId.make(parent.executionId),
          shardId: request.address.shardId
        })
    )
  )
}

interface Waking {
  begun: boolean
  again: boolean
}

const make = Effect.gen(function* () {
  const sharding = yield* Sharding.Sharding
  const storage = yield* MessageStorage.MessageStorage
  const fork = yield* FiberSet.makeRuntime<never>()
  const waking = new Map<string, Waking>()

  /** Whether there is no more to do: it runs, has ended, was never begun, or is another runner's. */
  const look = (address: Address, state: Waking) =>
    Effect.gen(function* () {
      const isOver = () => state.begun || !sharding.hasShardId(address.shardId)
      if (isOver()) return true
      const requestId = yield* storage.requestIdForPrimaryKey({ address, tag: "run", id: "" })
      if (Option.isNone(requestId)) return true
      const replies = yield* storage.repliesForUnfiltered([requestId.value])
      const ended = replies.some(
        (reply) =>
          reply._tag === "WithExit" &&
          !(
            reply.exit._tag === "Success" &&
            (reply.exit.value as { readonly _tag?: unknown } | undefined)?._tag === "Suspended"
          )
      )
      if (ended || isOver()) return true
      yield* sharding.reset(requestId.value)
      yield* sharding.pollStorage
      return false
    })

  const watch = (address: Address): Effect.Effect<void> =>
    Effect.suspend(() => {
      const other = waking.get(address.entityId)
      if (other !== undefined) {
        other.again = true
        return Effect.void
      }
      const state: Waking = { begun: false, again: false }
      waking.set(address.entityId, state)
      const from = (left: number): Effect.Effect<void, unknown> =>
        Effect.flatMap(Effect.delay(look(address, state), LOOK), (over) => {
          if (!over)
            return left > 1 ? from(left - 1) : Effect.fail("it was taken back again and again, and has not begun")
          if (!state.again) return Effect.void
          state.again = false
          return from(TRIES)
        })
      return from(TRIES).pipe(
        Effect.catchAllCause((cause) =>
          Effect.logError(
            "An execution was woken and is not seen to run: it may stand still until its runner ends",
            cause
          ).pipe(Effect.annotateLogs({ execution: address.entityId }))
        ),
        Effect.ensuring(Effect.sync(() => waking.delete(address.entityId)))
      )
    })

  /**
   * A child that ends tells its parent by the parent's one `resume` message. The second child takes back what the first one's
   * was answered with, and that message can be passed over by the same read as a `run`. Asked where the child ran: the parent
   * may be another runner's, which reads it once more. Handled twice it does no harm.
   */
  const told = (parent: Address): Effect.Effect<void> => {
    const once = Effect.gen(function* () {
      const requestId = yield* storage.requestIdForPrimaryKey({ address: parent, tag: "resume", id: "" })
      if (Option.isNone(requestId)) return true
      const replies = yield* storage.repliesForUnfiltered([requestId.value])
      if (replies.length > 0) return true
      yield* sharding.reset(requestId.value)
      yield* sharding.pollStorage
      return false
    })
    const from = (left: number): Effect.Effect<void, unknown> =>
      Effect.flatMap(Effect.delay(once, LOOK), (over) =>
        over ? Effect.void : left > 1 ? from(left - 1) : Effect.fail("its message was taken back again and again")
      )
    return from(TRIES).pipe(
      Effect.catchAllCause((cause) =>
        Effect.logError("The end of a child is not seen to wake its parent, which may stand still", cause).pipe(
          Effect.annotateLogs({ execution: parent.entityId })
        )
      )
    )
  }

  const begun = (address: Address) =>
    Effect.sync(() => {
      const state = waking.get(address.entityId)
      if (state === undefined) return
      state.begun = true
      state.again = false
    })

  return WakeUps.of({
    guard: <H>(handlers: H): H => {
      const { run, deferred, resume } = handlers as Handlers
      if (run === undefined || deferred === undefined || resume === undefined) return handlers
      const waker: (handler: Handlers[string]) => Handlers[string] = (handler) => (request) => {
        const answer = handler(request)
        return Effect.isEffect(answer)
          ? Effect.zipLeft(
              answer as Effect.Effect<unknown>,
              Effect.sync(() => fork(watch(request.address)))
            )
          : answer
      }
      const guarded: Handlers = {
        run: (request) => {
          const answer = run(request)
          if (!Effect.isEffect(answer) || Rpc.isWrapper(answer)) return answer
          const parent = parentOf(request)
          const running = Effect.zipRight(begun(request.address), answer as Effect.Effect<unknown>)
          return parent === undefined
            ? running
            : Effect.ensuring(
                running,
                Effect.sync(() => fork(told(parent)))
              )
        },
        deferred: waker(deferred),
        resume: waker(resume)
      }
      return { ...handlers, ...guarded }
    }
  })
})

export const layer: Layer.Layer<WakeUps, never, Sharding.Sharding | MessageStorage.MessageStorage> = Layer.scoped(
  WakeUps,
  make
)
