/**
 * A release's surface: everything of it that outlives its processes. Names and schemas of durable work are the contract
 * between releases, so they are kept as a file, reviewed like an API report, and recorded wherever the release goes.
 */
import { Data, Effect, Either, ParseResult, Schema } from "effect"
import { canonical, type Json, type Shape } from "./Shape.ts"

/** The format this code reads and writes. A newer one is not guessed at: what it means may have changed. */
export const FORMAT = 1

const ShapeSchema: Schema.Schema<Shape> = Schema.Struct({}, { key: Schema.String, value: Schema.Unknown }) as never
const named = <A, I>(value: Schema.Schema<A, I>) => Schema.Record({ key: Schema.String, value })

export const Activity = Schema.Struct({
  success: ShapeSchema,
  error: ShapeSchema,
  /** Runs several times in an execution; its durable names are `<name>#<key>`. */
  keyed: Schema.Boolean,
  /** How often it is tried again at most. Surfaces from before this was noted do not say. */
  retries: Schema.optionalWith(Schema.Int, { exact: true })
})

export const Deferred = Schema.Struct({ success: ShapeSchema, error: ShapeSchema })

/** Work that executions hand to workers. Its items and their answers lie in the database, by the name and the item's key. */
export const Queue = Schema.Struct({
  payload: ShapeSchema,
  success: ShapeSchema,
  error: ShapeSchema,
  /** What the key makes of sample payloads; none for a payload that is no struct. */
  keySamples: Schema.Array(Schema.Struct({ payload: named(Schema.Unknown), key: Schema.String }))
})

/**
 * What the idempotency key makes of a sample payload. The key is a function, and its text changes with every bundler; but
 * the execution ids of the same payloads change exactly when what the key is made of does.
 */
export const KeySample = Schema.Struct({
  payload: named(Schema.Unknown),
  executionId: Schema.String,
  /** The group of shards that this execution would live in. */
  shardGroup: Schema.String
})

export const Workflow = Schema.Struct({
  payload: ShapeSchema,
  success: ShapeSchema,
  error: ShapeSchema,
  keySamples: Schema.Array(KeySample),
  activities: named(Activity),
  deferreds: named(Deferred),
  clocks: Schema.Array(Schema.String),
  /** Releases from before there were any say nothing of them. */
  queues: Schema.optionalWith(named(Queue), { default: () => ({}) })
})

export const RpcShape = Schema.Struct({
  payload: ShapeSchema,
  success: ShapeSchema,
  error: ShapeSchema,
  /** Its calls are rows of the database until they are answered. */
  persisted: Schema.Boolean
})

export const StatementText = Schema.Struct({
  name: Schema.String,
  text: Schema.String,
  /** Sample values with which a write may be tried under a savepoint. */
  probe: Schema.optionalWith(Schema.Array(Schema.Unknown), { exact: true })
})

export const Sharding = Schema.Struct({ groups: Schema.Array(Schema.String), shardsPerGroup: Schema.Number })
export type Sharding = typeof Sharding.Type

export const Surface = Schema.Struct({
  format: Schema.Literal(FORMAT),
  workflows: named(Workflow),
  entities: named(named(RpcShape)),
  /** In which group of shards entities of a type live, of sample ids. Releases from before this was noted do not say. */
  entityGroups: Schema.optionalWith(named(named(Schema.String)), { default: () => ({}) }),
  events: named(ShapeSchema),
  sharding: Sharding,
  statements: Schema.Array(StatementText),
  /** Names of the migrations that the release expects to be there, in order. */
  migrations: Schema.Array(Schema.String)
})
export type Surface = typeof Surface.Type
export type WorkflowSurface = typeof Workflow.Type
export type QueueSurface = typeof Queue.Type

/** The document is no surface that this release can read. `newer`: it was written by a later format of this tool. */
export class SurfaceUnreadable extends Data.TaggedError("SurfaceUnreadable")<{
  readonly source: string
  readonly newer: boolean
  readonly message: string
}> {}

const decodeSurface = Schema.decodeUnknownEither(Surface)

/**
 * Reads a surface from JSON. `source` names where it came from, for the message.
 */
export const read = (document: unknown, source: string): Effect.Effect<Surface, SurfaceUnreadable> =>
  Effect.suspend(() => {
    const format =
      typeof document === "object" && document !== null && "format" in document ? document.format : undefined
    if (typeof format === "number" && format > FORMAT) {
      return new SurfaceUnreadable({
        source,
        newer: true,
        message: `${source} has surface format ${format}; this release reads format ${FORMAT}. What a newer format means can't be guessed.`
      })
    }
    const decoded = decodeSurface(document)
    return Either.isRight(decoded)
      ? Effect.succeed(decoded.right)
      : new SurfaceUnreadable({
          source,
          newer: false,
          message: `${source} is not a surface: ${ParseResult.TreeFormatter.formatErrorSync(decoded.left).split("\n").slice(0, 6).join(" ")}`
        })
  })

/** Reads a surface from text. */
export const parse = (text: string, source: string): Effect.Effect<Surface, SurfaceUnreadable> =>
  Effect.try({
    try: (): unknown => JSON.parse(text),
    catch: (cause) =>
      new SurfaceUnreadable({ source, newer: false, message: `${source} is not JSON: ${(cause as Error).message}` })
  }).pipe(Effect.flatMap((document) => read(document, source)))

/** A surface as plain JSON: sorted keys, so that the same code gives the same bytes. */
export const toJson = (surface: Surface): Json => canonical(surface)

/** The bytes of `surface.json`. */
export const print = (surface: Surface): string => `${JSON.stringify(toJson(surface), null, 2)}\n`
