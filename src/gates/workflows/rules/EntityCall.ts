import { EntityId } from "@effect/cluster"
import { Effect, Either } from "effect"
import { type CallRule, decodes, type Problem } from "../Rule.ts"

/** A call of an entity that waits in the database: its entity and RPC must be there, its payload decode, its shard group hold. */
export const entityCall: CallRule = {
  name: "entity calls",
  how: "declared, payloads decoded, shard groups made anew",
  judge: ({ entityType, entityId, tag, shardId, payload }, { entities }) => {
    const subject = `${entityType}.${tag}`
    const entity = entities.get(entityType)
    const rpc = entity?.protocol.requests.get(tag)
    if (entity === undefined || rpc === undefined) {
      const problem: Problem = {
        rule: "rpc-gone",
        severity: "hazard",
        subject,
        what: `Calls of ${subject} wait in the database, and this release does not declare it.`,
        why: "A runner that doesn't know the call answers it with a permanent failure.",
        fix: `Keep ${subject} until no call of it waits.`
      }
      return Effect.succeed([problem])
    }
    const unreadable = (detail: string, damaged: boolean): Problem => ({
      rule: "rpc-payload",
      severity: damaged ? "undecided" : "hazard",
      subject,
      what: damaged
        ? `A waiting call of ${subject} is damaged, or too long to be read.`
        : `Waiting calls of ${subject} can't be read by this release.`,
      why: "The call is answered with a permanent failure.",
      fix: damaged
        ? "Repair the row from a backup, or remove the call, then run the gate again."
        : "Make the addition optional, with a default, or give the new payload to a new RPC.",
      detail
    })
    const group = shardId.slice(0, shardId.lastIndexOf(":"))
    const now = entity.getShardGroup(EntityId.make(entityId))
    const moved: ReadonlyArray<Problem> = now === group ? [] : [otherGroup(entityType, group, now)]
    return payload._tag === "damaged"
      ? Effect.succeed([...moved, unreadable(payload.why, true)])
      : decodes(rpc.payloadSchema as never, payload.value).pipe(
          Effect.map(Either.match({ onLeft: (why) => [...moved, unreadable(why, false)], onRight: () => moved }))
        )
  }
}

const otherGroup = (type: string, before: string, after: string): Problem => ({
  rule: "entity-group",
  severity: "hazard",
  subject: type,
  what: `Calls of entity ${type} wait in shard group ${before}; this release sends calls of the same entities to ${after}.`,
  why: "One entity would live in two places at once, and what waits is carried out beside what comes later, not before it.",
  fix: "Keep the group until no call waits. A new one belongs to ids of another form, or to an entity of another name."
})
