/**
 * Executions carried out past the library's entities.
 *
 * The library makes an entity for every execution: a scope, a server, a mailbox, handlers and fibers, taken down again ten
 * seconds later. With the journal an execution needs none of it: its steps are no messages. So a `run` is taken here when it is
 * read from storage, or sooner, when a client tells of it: one fiber that calls the handler which the library's engine gave,
 * and stores what that answers. What the engine means by suspending, resuming and ending stays the engine's.
 *
 * Everything else goes to the entities as before: what wakes an execution (`deferred`, `resume`), and a `run` that comes while
 * one of these is under way there. An entity does one thing at a time, and the engine counts on that: what wakes an execution
 * looks whether it is suspended. So what comes for an execution that runs here waits until it does not.
 *
 * What does not end as it should, a defect that the workflow does not keep or an answer that can't be stored, is given to the
 * library to be done again; with the journal, no step is.
 */
import { Entity, type Message, MessageStorage, Reply, Sharding, ShardingConfig, type Snowflake } from "@effect/cluster"
import { type Rpc, RpcServer } from "@effect/rpc"
import {
  type Cause,
  Context,
  Effect,
  Equal,
  Exit,
  Fiber,
  FiberRef,
  HashMap,
  Layer,
  Option,
  Runtime,
  RuntimeFlags,
  Schedule,
  Schema,
  type Scope
} from "effect"
import type * as Readers from "../journal/Readers.ts"
import { Answering } from "../PatientStorage.ts"
import { answered } from "../storage/Answers.ts"
import * as ShardHolds from "./ShardHolds.ts"

type Handler = (request: Entity.Request<Rpc.Any>) => object
type Handlers = Readonly<Record<string, Handler>>
type Request = Message.IncomingRequest<Rpc.Any>

/** A kind of workflow, as the engine registered it. */
interface Kind {
  readonly rpc: Rpc.AnyWithProps
  readonly decode: (payload: unknown) => Effect.Effect<unknown, unknown>
  readonly handlers: Effect.Effect<Handlers>
  readonly context: Context.Context<never>
  readonly fork: <A, E>(effect: Effect.Effect<A, E>, context: Context.Context<never>) => Fiber.RuntimeFiber<A, E>
  /** Whether a run that begins now is taken. */
  readonly isOn: () => boolean
  closing: boolean
}

interface Run {
  readonly kind: Kind
  readonly request: Request
  readonly work: ShardHolds.Work | undefined
  fiber: Fiber.RuntimeFiber<unknown, unknown> | undefined
}

/** As the library runs its handlers: what stores an answer is not cut. */
const UNINTERRUPTIBLE = RuntimeFlags.disable(Runtime.defaultRuntimeFlags, RuntimeFlags.Interruption)

const RUN = "run"
const ACTIVITY = "activity"

export class Runs extends Context.Tag("runtime/Runs")<
  Runs,
  {
    /** Of a workflow's entity: from here on its runs are taken, while `isOn` says so. Others are left alone. */
    readonly register: (
      entity: Entity.Entity<string, Rpc.Any>,
      handlers: Effect.Effect<Handlers, never, unknown>,
      isOn: () => boolean
    ) => Effect.Effect<void, never, Scope.Scope>
    /** Takes one that a client tells of; false when it is to go its way through the storage. */
    readonly take: (message: Message.Incoming<Rpc.Any>) => boolean
    readonly connect: (
      sharding: Sharding.Sharding["Type"]
    ) => Effect.Effect<void, never, Scope.Scope | ShardingConfig.ShardingConfig>
  }
>() {}

/** How often it is looked for what the entities have of shards that are gone: they never answer it. */
const FORGET = "5 seconds"

const make = (storage: MessageStorage.MessageStorage["Type"], answering: Answering["Type"]) => {
  let sharding: Sharding.Sharding["Type"] | undefined
  let holds: ShardHolds.ShardHolds | undefined
  let config: ShardingConfig.ShardingConfig["Type"] = ShardingConfig.defaults
  const kinds = new Map<string, Kind>()
  /** By execution, until what it ended with is stored. */
  const running = new Map<string, Run>()
  /** What ended since the storage began to be read: the answer may be younger than what is read. */
  const ended = new Set<Snowflake.Snowflake>()
  /** What the entities have of an execution, and not answered. */
  const others = new Map<string, Map<Snowflake.Snowflake, Request>>()
  /** What came for an execution that runs here. */
  const waiting = new Map<string, Map<Snowflake.Snowflake, Request>>()
  /** What an entity had no room for: it gets them with the next reading. */
  let ready: Array<Request> = []

  const put = (into: typeof others, message: Request) => {
    const key = message.envelope.address.entityId
    const all = into.get(key) ?? new Map<Snowflake.Snowflake, Request>()
    if (all.has(message.envelope.requestId)) return
    into.set(key, all.set(message.envelope.requestId, message))
  }

  /** To its entity, past the storage: it was read already. */
  const handOn = (to: Sharding.Sharding["Type"], message: Request) =>
    Effect.catchTags(to.send(given(message)), {
      MailboxFull: () => {
        ready.push(message)
        return to.pollStorage
      },
      AlreadyProcessingMessage: () => Effect.void,
      // Its next owner reads it.
      EntityNotAssignedToRunner: () => Effect.void
    })

  /** The entity's from here on. */
  const given = (message: Request): Request => {
    put(others, message)
    const { address, requestId } = message.envelope
    return answered(message, (saving) =>
      Effect.tap(saving, () =>
        Effect.sync(() => {
          const all = others.get(address.entityId)
          if (all?.delete(requestId) && all.size === 0) others.delete(address.entityId)
        })
      )
    ) as Request
  }

  const finish = (run: Run, handBack: boolean) =>
    Effect.suspend(() => {
      const { address, requestId } = run.request.envelope
      running.delete(address.entityId)
      run.work?.end()
      const late = waiting.get(address.entityId)
      waiting.delete(address.entityId)
      if (!handBack) ended.add(requestId)
      if (sharding === undefined || (!handBack && late === undefined)) return Effect.void
      const to = sharding
      const all = [...(handBack ? [run.request] : []), ...(late?.values() ?? [])]
      for (const message of all) put(others, message)
      return Effect.sync(() =>
        run.kind.fork(
          Effect.forEach(all, (message) => handOn(to, message), { discard: true }),
          Context.empty()
        )
      )
    })

  const isHere = (kind: Kind, { envelope }: Message.Incoming<Rpc.Any>) =>
    !kind.closing && sharding?.hasShardId(envelope.address.shardId) === true

  /** The shard's next owner does it; who waits here for the answer looks for it in the table. */
  const leave = (run: Run) =>
    Effect.zipRight(finish(run, false), storage.unregisterReplyHandler(run.request.envelope.requestId))

  const afterFailure = (run: Run, cause: Cause.Cause<unknown>) => {
    if (!isHere(run.kind, run.request)) return leave(run)
    return Effect.zipRight(
      Effect.logDebug("An execution did not end as it should, and is given to its entity", cause),
      finish(run, true)
    )
  }

  const carryOut = (run: Run, runner: Effect.Effect<unknown, unknown>) => {
    const { request, kind } = run
    return Effect.matchCauseEffect(runner, {
      onFailure: (cause) => afterFailure(run, cause),
      onSuccess: (value) =>
        Effect.flatMap(sharding?.getSnowflake ?? Effect.never, (id) =>
          Effect.matchCauseEffect(
            request.respond(
              new Reply.ReplyWithContext({
                reply: new Reply.WithExit({
                  id,
                  requestId: request.envelope.requestId,
                  exit: Exit.succeed(value) as never
                }),
                rpc: kind.rpc as unknown as Rpc.Any,
                context: kind.context
              })
            ),
            { onSuccess: () => finish(run, false), onFailure: (cause) => afterFailure(run, cause) }
          )
        )
    })
  }

  const spanOf = ({ envelope }: Request) => ({
    captureStackTrace: false,
    attributes: {
      requestId: String(envelope.requestId),
      "entity.type": envelope.address.entityType,
      "entity.id": envelope.address.entityId
    },
    ...(envelope.spanId === undefined || envelope.traceId === undefined
      ? {}
      : {
          parent: {
            _tag: "ExternalSpan",
            traceId: envelope.traceId,
            spanId: envelope.spanId,
            sampled: envelope.sampled ?? true,
            context: Context.empty()
          } as const
        })
  })

  const begin = (kind: Kind, request: Request) => {
    const { envelope } = request
    const { address } = envelope
    const run: Run = { kind, request, work: holds?.begin(address.shardId), fiber: undefined }
    running.set(address.entityId, run)
    const held = run.work?.held
    const own = new Map<string, unknown>([
      [Entity.CurrentAddress.key, address],
      [Entity.CurrentRunnerAddress.key, Option.getOrUndefined(config.runnerAddress)]
    ])
    const asked = Effect.flatMap(
      Effect.zip(kind.handlers, kind.decode(envelope.payload)),
      ([handlers, payload]) =>
        (handlers[RUN] as Handler)(
          new Entity.Request({ ...envelope, payload, lastSentChunk: Option.none() } as never)
        ) as Effect.Effect<unknown>
    ).pipe(Effect.scoped, Effect.withSpan(`${address.entityType}(${address.entityId}).${RUN}`, spanOf(request)))
    run.fiber = kind.fork(
      carryOut(run, Effect.interruptible(held === undefined ? asked : Effect.zipRight(held, asked))),
      Context.unsafeMake(own)
    )
  }

  const kindOf = (message: Message.Incoming<Rpc.Any>) => {
    const kind = kinds.get(message.envelope.address.entityType)
    return kind !== undefined && isHere(kind, message) ? kind : undefined
  }

  /** What of these is the library's to do. */
  const sorted = (messages: ReadonlyArray<Message.Incoming<Rpc.Any>>) =>
    messages.flatMap((message): ReadonlyArray<Message.Incoming<Rpc.Any>> => {
      const kind = kindOf(message)
      if (kind === undefined || message._tag === "IncomingEnvelope" || message.envelope.tag === ACTIVITY)
        return [message]
      const { requestId, address, tag } = message.envelope
      const run = running.get(address.entityId)
      if (tag !== RUN) {
        if (run === undefined) return [given(message)]
        put(waiting, message)
        return []
      }
      if (run !== undefined || ended.has(requestId)) return []
      if (others.has(address.entityId) || !kind.isOn()) return [given(message)]
      begin(kind, message)
      return []
    })

  const fibersOf = (which: (run: Run) => boolean) =>
    [...running.values()].flatMap((run) => (which(run) && run.fiber !== undefined ? [run.fiber] : []))
  const cut = (which: (run: Run) => boolean) =>
    Effect.suspend(() => Fiber.interruptAllAs(fibersOf(which), RpcServer.fiberIdTransientInterrupt))

  const register: Runs["Type"]["register"] = (entity, handlers, isOn) =>
    Effect.gen(function* () {
      const { requests } = entity.protocol
      const rpc = requests.get(RUN) as Rpc.AnyWithProps | undefined
      if (rpc === undefined || !requests.has("deferred") || !requests.has("resume") || kinds.has(entity.type)) return
      const { context, fiberRefs } = yield* Effect.runtime<never>()
      const kind: Kind = {
        rpc,
        decode: Schema.decodeUnknown(rpc.payloadSchema as Schema.Schema<unknown, unknown>),
        handlers: handlers as Effect.Effect<Handlers>,
        context,
        fork: (effect, own) =>
          Runtime.runFork(
            Runtime.make({ context: Context.merge(context, own), runtimeFlags: UNINTERRUPTIBLE, fiberRefs })
          )(effect),
        isOn,
        closing: false
      }
      kinds.set(entity.type, kind)
      // Added before the library's own, and so called after: that one tells everybody that this process stops.
      yield* Effect.addFinalizer(() =>
        Effect.gen(function* () {
          kind.closing = true
          const ours = (run: Run) => run.kind === kind
          yield* Fiber.awaitAll(fibersOf(ours)).pipe(
            Effect.interruptible,
            Effect.timeoutOption(config.entityTerminationTimeout)
          )
          yield* cut(ours)
          kinds.delete(entity.type)
        })
      )
    }).pipe(Effect.locally(FiberRef.currentLogAnnotations, HashMap.empty()))

  const take = (message: Message.Incoming<Rpc.Any>): boolean => {
    if (message._tag !== "IncomingRequest" || message.envelope.tag !== RUN) return false
    const kind = kindOf(message)
    const { requestId, address } = message.envelope
    if (kind === undefined || others.has(address.entityId)) return false
    const run = running.get(address.entityId)
    if (run !== undefined) return run.request.envelope.requestId === requestId
    if (ended.has(requestId) || !kind.isOn()) return false
    begin(kind, answering(message) as Request)
    return true
  }

  const connect = (to: Sharding.Sharding["Type"]) =>
    Effect.gen(function* () {
      config = yield* ShardingConfig.ShardingConfig
      holds = yield* ShardHolds.make(to, (shard) =>
        cut(({ request }) => Equal.equals(request.envelope.address.shardId, shard))
      )
      yield* Effect.sync(() => {
        for (const into of [others, waiting])
          for (const [key, all] of into)
            for (const { envelope } of all.values()) if (!to.hasShardId(envelope.address.shardId)) into.delete(key)
      }).pipe(Effect.schedule(Schedule.spaced(FORGET)), Effect.interruptible, Effect.forkScoped)
      sharding = to
    })

  const layered = MessageStorage.MessageStorage.of({
    ...storage,
    unprocessedMessages: (shards) =>
      Effect.suspend(() => {
        ended.clear()
        return Effect.map(storage.unprocessedMessages(shards), (fresh) => {
          const again = new Map(ready.map((message) => [message.envelope.requestId, message]))
          ready = []
          return [
            ...Array.from(again.values(), given),
            ...sorted(fresh.filter(({ envelope }) => !again.has(envelope.requestId)))
          ]
        })
      })
  })
  return { runs: Runs.of({ register, take, connect }), layered }
}

const on: Layer.Layer<Runs | MessageStorage.MessageStorage, never, MessageStorage.MessageStorage | Answering> =
  Layer.effectContext(
    Effect.zipWith(MessageStorage.MessageStorage, Answering, (storage, answering) => {
      const { runs, layered } = make(storage, answering)
      return Context.make(Runs, runs).pipe(Context.add(MessageStorage.MessageStorage, layered))
    })
  )

/** As the library has it: every execution has its entity. */
const off: Layer.Layer<Runs> = Layer.succeed(
  Runs,
  Runs.of({ register: () => Effect.void, take: () => false, connect: () => Effect.void })
)

/** Of a runner whose steps are never in the journal, nothing is taken. */
export const layer = (kind: Readers.Kind) =>
  kind === "stock" ? Layer.merge(off, Layer.service(MessageStorage.MessageStorage)) : on

export const connected = Layer.scopedDiscard(
  Effect.gen(function* () {
    yield* (yield* Runs).connect(yield* Sharding.Sharding)
  })
)

/** For the server that other processes talk to. */
export const told: Layer.Layer<Sharding.Sharding, never, Sharding.Sharding | Runs> = Layer.effect(
  Sharding.Sharding,
  Effect.zipWith(Sharding.Sharding, Runs, (sharding, { take }) =>
    Sharding.Sharding.of({
      ...sharding,
      notify: (message, options) =>
        options?.waitUntilRead === true && take(message) ? Effect.void : sharding.notify(message, options)
    })
  )
)
