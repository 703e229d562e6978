import { Effect } from "effect"
import { type ExecutionRule, fine, type Problem } from "../Rule.ts"

/** As the library computes it (`Sharding.getShardId`); a test holds it against rows that the library wrote. */
export const shardNumber = (entityId: string, shardsPerGroup: number): number => {
  let hash = 5381
  for (let i = entityId.length; i > 0; ) hash = (hash * 33) ^ entityId.charCodeAt(--i)
  hash = (hash & 0xbfffffff) | ((hash >>> 1) & 0x40000000)
  return Math.abs(hash % shardsPerGroup) + 1
}

/** The shard an open execution lies in must be the one where this release looks for it. */
export const shard: ExecutionRule = {
  name: "shards",
  how: "computed anew",
  judge: ({ executionId, shardId, workflow }, { sharding }) => {
    const at = shardId.lastIndexOf(":")
    const [group, number] = [shardId.slice(0, at), Number(shardId.slice(at + 1))]
    const found: Array<Problem> = []
    if (shardNumber(executionId, sharding.shardsPerGroup) !== number) {
      found.push({
        rule: "shards-per-group",
        severity: "hazard",
        subject: "shardsPerGroup",
        what: `Open executions lie in shards where this release, with ${sharding.shardsPerGroup} shards a group, does not look for them.`,
        why: "The shard of every message is stored when it is sent. These executions would wait where nobody reads, or be split over two shards.",
        fix: "Set shardsPerGroup back to what the running releases have. It can only change on an empty cluster."
      })
    }
    if (!sharding.groups.includes(group)) {
      found.push({
        rule: "shard-groups",
        severity: "hazard",
        subject: "availableShardGroups",
        what: `Open executions of ${workflow} lie in shard group ${group}, which this release does not have.`,
        why: "No runner of this release takes the shards of that group: the executions wait for ever.",
        fix: `Keep ${group} in the list of shard groups.`
      })
    }
    return found.length === 0 ? fine : Effect.succeed(found)
  }
}
