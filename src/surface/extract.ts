/** Makes the surface from what the code declares. Pure apart from hashing: no database, no clock, no environment. */
import { hash } from "node:crypto"
import { ClusterSchema, EntityId } from "@effect/cluster"
import type { Rpc } from "@effect/rpc"
import { Arbitrary, Context, Effect, Either, FastCheck, Schema } from "effect"
import { type AnyDeclaration, type QueueDeclaration, retriesOf } from "../agent/Declaration.ts"
import type { AnyEntity } from "../agent/registry.ts"
import { type LibraryStatement, libraryStatements } from "./Library.ts"
import { type Json, shapeOf } from "./Shape.ts"
import { FORMAT, type QueueSurface, type Sharding, type Surface, type WorkflowSurface } from "./Surface.ts"

export interface Sources {
  readonly declarations: ReadonlyArray<AnyDeclaration>
  readonly entities: ReadonlyArray<AnyEntity>
  /** The union of all events. */
  readonly events: Schema.Schema.All
  readonly statements: ReadonlyArray<{
    readonly name: string
    readonly text: string
    readonly probe: ReadonlyArray<unknown> | undefined
  }>
  readonly sharding: Sharding
  readonly migrations: ReadonlyArray<string>
}

const SAMPLES = 3

/** A number from a text, the same on every machine: FNV-1a. */
const seedOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (const char of text) hash = Math.imul(hash ^ char.codePointAt(0)!, 0x01000193)
  return hash >>> 0
}

/**
 * A sample value of one field. It depends on nothing but the field's own name and schema: a field that is added must not
 * change the samples of the others, or no release could be compared with the next.
 */
const sampleField = (name: string, schema: Schema.Schema.AnyNoContext, index: number): unknown => {
  const decode = Schema.decodeUnknownEither(schema)
  const plain = [`${name}-${index}`, index, `${"0".repeat(7)}${index}-0000-4000-8000-000000000000`]
  for (const encoded of plain) if (Either.isRight(decode(encoded))) return encoded
  const [value] = FastCheck.sample(Arbitrary.make(schema), { seed: seedOf(`${name}-${index}`), numRuns: 1 })
  return Schema.encodeSync(schema)(value)
}

/** Sample payloads in their encoded form. */
export const samplePayloads = (fields: Schema.Struct.Fields): ReadonlyArray<Readonly<Record<string, unknown>>> =>
  Array.from({ length: SAMPLES }, (_, i) =>
    Object.fromEntries(
      Object.entries(fields)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([name, field]) => {
          const struct = Schema.Struct({ [name]: field }) as unknown as Schema.Schema.AnyNoContext
          if (Schema.isSchema(field)) return [[name, sampleField(name, field as Schema.Schema.AnyNoContext, i + 1)]]
          // A property signature (optional, default, renamed) is not a schema by itself: sample the struct around it.
          const [value] = FastCheck.sample(Arbitrary.make(struct), { seed: seedOf(`${name}-${i + 1}`), numRuns: 1 })
          return Object.entries(Schema.encodeSync(struct)(value) as object)
        })
    )
  )

/** The execution id and shard group that a declaration gives a stored payload; the decode error when it can't read it. */
export const identify = (
  { workflow }: AnyDeclaration,
  encoded: unknown
): Effect.Effect<{ readonly executionId: string; readonly shardGroup: string }, string> =>
  Schema.decodeUnknown(workflow.payloadSchema as unknown as Schema.Schema.AnyNoContext)(encoded).pipe(
    Effect.mapError((error) => error.message),
    Effect.flatMap((payload) => workflow.executionId(payload)),
    Effect.map((executionId) => ({
      executionId,
      shardGroup: Context.get(workflow.annotations, ClusterSchema.ShardGroup)(executionId as never)
    })),
    // A key is the repo's own code: when it throws on a payload that decodes, that is the answer, and not our crash.
    Effect.catchAllDefect((defect) => Effect.fail(defect instanceof Error ? defect.message : String(defect)))
  )

/** Whether the library's digest is the one computed here, asked once of each declaration. */
const sameDigest = new WeakMap<AnyDeclaration, boolean>()

const executionIdOf = (declaration: AnyDeclaration, payload: unknown): string =>
  hash("sha256", `${declaration.workflow.name}-${declaration.idempotencyKey(payload as never)}`, "hex").slice(0, 32)

/** The quick yes of `sameIdentity`, once the library's digest is known to be the one computed here. */
export const identityHolds = (
  declaration: AnyDeclaration,
  encoded: unknown,
  executionId: string,
  shardId: string
): boolean => {
  if (sameDigest.get(declaration) !== true) return false
  const { workflow } = declaration
  try {
    const payload = Schema.decodeUnknownSync(workflow.payloadSchema as unknown as Schema.Schema<unknown, unknown>)(
      encoded
    )
    const group = Context.get(workflow.annotations, ClusterSchema.ShardGroup)(executionId as never)
    return executionIdOf(declaration, payload) === executionId && group === shardId.slice(0, shardId.lastIndexOf(":"))
  } catch {
    return false
  }
}

/**
 * Whether a stored payload still makes this id, in this shard's group: `identify` without its wait for another
 * thread. False when it can't be told at once; `identify` then tells.
 */
export const sameIdentity = (
  declaration: AnyDeclaration,
  encoded: unknown,
  executionId: string,
  shardId: string
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const { workflow } = declaration
    try {
      const schema = workflow.payloadSchema as unknown as Schema.Schema<unknown, unknown>
      const payload = Schema.decodeUnknownSync(schema)(encoded)
      const here = executionIdOf(declaration, payload)
      const group = Context.get(workflow.annotations, ClusterSchema.ShardGroup)(executionId as never)
      const same = here === executionId && group === shardId.slice(0, shardId.lastIndexOf(":"))
      const known = sameDigest.get(declaration)
      if (!same || known !== undefined) return Effect.succeed(same && known === true)
      return Effect.map(workflow.executionId(payload), (library) => {
        sameDigest.set(declaration, library === here)
        return library === here
      })
    } catch {
      return Effect.succeed(false)
    }
  })

const workflowSurface = (declaration: AnyDeclaration): Effect.Effect<WorkflowSurface> =>
  Effect.gen(function* () {
    const { workflow, activities, deferreds, clocks, queues } = declaration
    const keySamples = yield* Effect.forEach(samplePayloads(workflow.payloadSchema.fields), (payload) =>
      identify(declaration, payload).pipe(
        Effect.map((identity) => ({ payload, ...identity })),
        Effect.orDieWith((why) => new Error(`${workflow.name}: the sample ${JSON.stringify(payload)} fails: ${why}`))
      )
    )
    return {
      payload: shapeOf(workflow.payloadSchema as unknown as Schema.Schema.All),
      success: shapeOf(workflow.successSchema),
      error: shapeOf(workflow.errorSchema),
      keySamples,
      activities: Object.fromEntries(
        Object.values(activities).map((activity) => [
          activity.name,
          {
            success: shapeOf(activity.success),
            error: shapeOf(activity.error),
            keyed: activity.keyed === true,
            retries: retriesOf(activity)
          }
        ])
      ),
      deferreds: Object.fromEntries(
        Object.values(deferreds).map(({ name, successSchema, errorSchema }) => [
          name,
          { success: shapeOf(successSchema), error: shapeOf(errorSchema) }
        ])
      ),
      clocks: Object.values(clocks)
        .map(({ name }) => name)
        .sort(),
      queues: Object.fromEntries(Object.values(queues).map((queue) => [queue.name, queueSurface(queue)]))
    }
  })

const queueSurface = ({ payloadSchema, idempotencyKey, deferred }: QueueDeclaration): QueueSurface => {
  const fields = "fields" in payloadSchema ? (payloadSchema.fields as Schema.Struct.Fields) : undefined
  const decode = Schema.decodeUnknownSync(payloadSchema)
  return {
    payload: shapeOf(payloadSchema),
    success: shapeOf(deferred.successSchema),
    error: shapeOf(deferred.errorSchema),
    keySamples: (fields === undefined ? [] : samplePayloads(fields)).map((payload) => ({
      payload,
      key: idempotencyKey(decode(payload) as never)
    }))
  }
}

const rpcSurface = (rpc: Rpc.AnyWithProps) => ({
  payload: shapeOf(rpc.payloadSchema as unknown as Schema.Schema.All),
  success: shapeOf(rpc.successSchema),
  error: shapeOf(rpc.errorSchema),
  persisted: Context.get(rpc.annotations, ClusterSchema.Persisted)
})

/** Ids as they may be: without a group, and with one in front. */
const sampleEntityIds = (groups: ReadonlyArray<string>) => [
  "entity-1",
  ...groups.toSorted().map((group) => `${group}:entity-1`)
]

const eventSurface = (events: Schema.Schema.All): Surface["events"] =>
  Object.fromEntries(
    (shapeOf(events).anyOf ?? [shapeOf(events)]).map((shape) => [
      String(shape.properties?.["_tag"]?.enum?.[0] ?? "untagged"),
      shape
    ])
  )

/** The surface of this release. */
export const extract = (sources: Sources): Effect.Effect<Surface> =>
  Effect.gen(function* () {
    const workflows = yield* Effect.forEach(sources.declarations, (declaration) =>
      workflowSurface(declaration).pipe(Effect.map((surface) => [declaration.workflow.name, surface] as const))
    )
    const library: ReadonlyArray<LibraryStatement> = yield* libraryStatements
    return {
      format: FORMAT,
      workflows: Object.fromEntries(workflows),
      entities: Object.fromEntries(
        sources.entities.map(({ type, protocol }) => [
          type,
          Object.fromEntries([...protocol.requests].map(([tag, rpc]) => [tag, rpcSurface(rpc)]))
        ])
      ),
      entityGroups: Object.fromEntries(
        sources.entities.map(({ type, getShardGroup }) => [
          type,
          Object.fromEntries(
            sampleEntityIds(sources.sharding.groups).map((id) => [id, getShardGroup(EntityId.make(id))])
          )
        ])
      ),
      events: eventSurface(sources.events),
      sharding: {
        groups: [...sources.sharding.groups].sort(),
        shardsPerGroup: sources.sharding.shardsPerGroup
      },
      statements: [
        ...sources.statements.map(({ name, text, probe }) => ({
          name,
          text,
          ...(probe === undefined ? {} : { probe: JSON.parse(JSON.stringify(probe)) as ReadonlyArray<Json> })
        })),
        ...library
      ],
      migrations: [...sources.migrations].sort()
    }
  })
