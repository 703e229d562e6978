import { Effect, Either } from "effect"
import { identify, identityHolds, sameIdentity } from "../../../surface/extract.ts"
import { decodes, type ExecutionRule, fine, type Problem } from "../Rule.ts"

/** The payload an open execution was started with: it must decode, and still make the same execution id and shard group. */
export const payload: ExecutionRule = {
  name: "payloads",
  how: "decoded, execution ids and shard groups made anew",
  judge: (execution, { declarations }) => {
    const { workflow, payload, executionId, shardId } = execution
    const declaration = declarations.get(workflow)
    if (declaration === undefined) return fine
    if (payload._tag === "damaged") return Effect.succeed([damaged(workflow, payload.why)])
    // It makes the id anew of what it decoded: nothing is left to be asked.
    if (identityHolds(declaration, payload.value, executionId, shardId)) return fine
    const reading = decodes(declaration.workflow.payloadSchema as never, payload.value)
    return Effect.gen(function* () {
      const read = yield* reading
      if (Either.isLeft(read)) return [unreadable(workflow, read.left)]
      if (yield* sameIdentity(declaration, payload.value, executionId, shardId)) return []
      const identity = yield* Effect.either(identify(declaration, payload.value))
      if (Either.isLeft(identity)) return [otherKey(workflow, "the idempotency key's own code throws on it")]
      const found: Array<Problem> = []
      if (identity.right.executionId !== executionId) found.push(otherKey(workflow))
      const group = shardId.slice(0, shardId.lastIndexOf(":"))
      if (identity.right.shardGroup !== group) found.push(otherGroup(workflow, group, identity.right.shardGroup))
      return found
    })
  }
}

const unreadable = (workflow: string, detail: string): Problem => ({
  rule: "workflow-payload",
  severity: "hazard",
  subject: workflow,
  what: `Payloads of open executions of ${workflow} can't be read by this release.`,
  why: "The execution is answered with a permanent failure as soon as a runner of this release takes it up; it does not heal.",
  fix: "Make the addition optional, with a default, or give the new payload to a new workflow version.",
  detail
})

const damaged = (workflow: string, detail: string): Problem => ({
  rule: "workflow-payload",
  severity: "undecided",
  subject: workflow,
  what: `The payload of an open execution of ${workflow} is damaged, or too long to be read.`,
  why: "A runner that reads a damaged row may stop reading the rows beside it; and of what the gate has not read, nobody can say that this release carries it.",
  fix: "Repair the row from a backup when it is damaged; else let the execution end, or cancel it. Then run the gate again.",
  detail
})

const otherKey = (workflow: string, detail?: string): Problem => ({
  rule: "idempotency-key",
  severity: "hazard",
  subject: workflow,
  what: `The idempotency key of ${workflow} does not give open executions their ids any more.`,
  why: "A start that is sent again, an approval or a status call finds no execution: a second one is started and does the work twice.",
  fix: "Keep the key as it was. A new key belongs to a new workflow version.",
  ...(detail === undefined ? {} : { detail })
})

const otherGroup = (workflow: string, before: string, after: string): Problem => ({
  rule: "shard-group",
  severity: "hazard",
  subject: workflow,
  what: `Open executions of ${workflow} live in shard group ${before}; this release looks for them in ${after}.`,
  why: "The group is stored with each message: an approval goes to one group while the execution waits in the other.",
  fix: "Keep the group; use the new one for a new workflow version."
})
