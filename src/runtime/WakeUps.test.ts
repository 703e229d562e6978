/** What is woken runs, once: the interleaving that the library passes over is forced, in the storage beneath it. */

import { Message, MessageStorage, type Reply, Snowflake } from "@effect/cluster"
import type { Rpc } from "@effect/rpc"
import { expect, it } from "@effect/vitest"
import { DurableDeferred } from "@effect/workflow"
import { Deferred, Effect, Exit, Layer, Schema } from "effect"
import { vi } from "vitest"
import { type MigratedDatabase, migratedDatabase } from "../../test/support/migrated-database.ts"
import { type Kinds, oneRunner, workflowById } from "../../test/support/one-runner.ts"
import { until } from "../../test/support/wait.ts"

vi.setConfig({ testTimeout: 60_000 })

const Approval = DurableDeferred.make("Approval", { success: Schema.String })
const Waits = workflowById("Waits", Schema.String)
const Parent = workflowById("Parent", Schema.Array(Schema.String))
const CHILDREN = ["first", "second"]
const workflows = Layer.merge(
  Waits.toLayer(() => DurableDeferred.await(Approval)),
  Parent.toLayer(() => Effect.forEach(CHILDREN, (id) => Waits.execute({ id })))
)

/** A storage whose reader passes over a parent's `resume` the first time that it is read again: read, and never handled. */
const passingOver = () => {
  const read = new Map<Snowflake.Snowflake, number>()
  return (storage: MessageStorage.MessageStorage["Type"]): MessageStorage.MessageStorage["Type"] => ({
    ...storage,
    unprocessedMessages: (shards) =>
      Effect.map(storage.unprocessedMessages(shards), (messages) =>
        messages.filter((message) => {
          if (message._tag !== "IncomingRequest" || message.envelope.tag !== "resume") return true
          const times = (read.get(message.envelope.requestId) ?? 0) + 1
          read.set(message.envelope.requestId, times)
          return times !== 2
        })
      )
  })
}

/**
 * The storage of one interleaving: the run's suspension is held back until its answer has been read and waits behind it, and
 * the library has begun its next read; that read goes on when the answer has been handled.
 */
const interleaved = (entityType: string) =>
  Effect.gen(function* () {
    const answerRead = yield* Deferred.make<void>()
    const reading = yield* Deferred.make<void>()
    const answerStored = yield* Deferred.make<void>()
    const around = (storage: MessageStorage.MessageStorage["Type"]): MessageStorage.MessageStorage["Type"] => {
      const watched = (message: Message.Incoming<Rpc.Any>): Message.Incoming<Rpc.Any> => {
        if (message._tag !== "IncomingRequest" || message.envelope.address.entityType !== entityType) return message
        const { tag } = message.envelope
        if (tag === "deferred") Deferred.unsafeDone(answerRead, Effect.void)
        return new Message.IncomingRequest({
          ...message,
          respond: (reply: Reply.ReplyWithContext<Rpc.Any>) =>
            (tag === "run" ? Deferred.await(reading) : Effect.void).pipe(
              Effect.zipRight(message.respond(reply)),
              Effect.zipLeft(tag === "deferred" ? Deferred.succeed(answerStored, undefined) : Effect.void)
            )
        })
      }
      return {
        ...storage,
        unprocessedMessages: (shards) =>
          Effect.gen(function* () {
            if ((yield* Deferred.isDone(answerRead)) && (yield* Deferred.succeed(reading, undefined))) {
              yield* Deferred.await(answerStored)
            }
            return (yield* storage.unprocessedMessages(shards)).map(watched)
          })
      }
    }
    return { around, happened: Deferred.await(answerStored) }
  })

const approve = (executionId: string) =>
  DurableDeferred.done(Approval, {
    token: DurableDeferred.tokenFromExecutionId(Approval, { workflow: Waits, executionId }),
    exit: Exit.succeed("yes")
  })

const kinds: ReadonlyArray<Kinds> = [
  { stepEngine: "stock", messageStorage: "stock" },
  { stepEngine: "journal", messageStorage: "group" }
]

for (const kind of kinds) {
  const name = `${kind.stepEngine} engine, ${kind.messageStorage} storage`
  const running = (database: MigratedDatabase, around: Parameters<typeof oneRunner>[4]) =>
    workflows.pipe(Layer.provideMerge(oneRunner(database.urlOf("runtime"), kind, "one", "test", around)))

  it.scopedLive(`${name}: an execution runs that is woken while the library reads`, () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      const { around, happened } = yield* interleaved("Workflow/Waits")
      yield* Effect.gen(function* () {
        const id = yield* Waits.execute({ id: "a" }, { discard: true })
        yield* approve(id)
        yield* happened
        const result = yield* until("it ends", Waits.poll(id), (one) => one?._tag === "Complete")
        expect(result).toMatchObject({ exit: Exit.succeed("yes") })
      }).pipe(Effect.provide(running(database, around)), Effect.scoped)
    })
  )

  it.scopedLive(`${name}: a parent goes on whose second child's end was passed over`, () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* Effect.gen(function* () {
        const id = yield* Parent.execute({ id: "p" }, { discard: true })
        for (const child of CHILDREN) {
          const waiting = yield* Waits.executionId({ id: child })
          yield* until(`${child} waits`, Waits.poll(waiting), (one) => one?._tag === "Suspended")
          yield* until("the parent waits", Parent.poll(id), (one) => one?._tag === "Suspended")
          yield* approve(waiting)
        }
        const result = yield* until("it ends", Parent.poll(id), (one) => one?._tag === "Complete")
        expect(result).toMatchObject({ exit: Exit.succeed(["yes", "yes"]) })
      }).pipe(Effect.provide(running(database, passingOver())), Effect.scoped)
    })
  )

  it.scopedLive(`${name}: what has a result keeps it when it is woken once more`, () =>
    Effect.gen(function* () {
      const database = yield* migratedDatabase
      yield* Effect.gen(function* () {
        const id = yield* Waits.execute({ id: "a" }, { discard: true })
        yield* approve(id)
        yield* until("it ends", Waits.poll(id), (one) => one?._tag === "Complete")
        const storage = yield* MessageStorage.MessageStorage
        const [run] = yield* database.query<{ id: string }>(
          "select id::text as id from cluster.cluster_messages where tag = 'run' and entity_type = 'Workflow/Waits'"
        )
        // What the second of two does that saw it suspended.
        yield* storage.clearReplies(Snowflake.Snowflake(run?.id ?? ""))
        expect(yield* Waits.poll(id)).toMatchObject({ _tag: "Complete" })
      }).pipe(Effect.provide(running(database, (same) => same)), Effect.scoped)
    })
  )
}
