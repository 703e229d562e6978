import { Effect, Either } from "effect"
import { type CallRule, decodes, type Problem } from "../Rule.ts"

/** A call of an entity that waits in the database: its entity and RPC must be there, and its payload decode. */
export const entityCall: CallRule = {
  name: "entity calls",
  how: "declared, payloads decoded",
  judge: ({ entityType, tag, payload }, { entities }) => {
    const subject = `${entityType}.${tag}`
    const rpc = entities.get(entityType)?.protocol.requests.get(tag)
    if (rpc === undefined) {
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
    return payload._tag === "damaged"
      ? Effect.succeed([unreadable(payload.why, true)])
      : decodes(rpc.payloadSchema as never, payload.value).pipe(
          Effect.map(Either.match({ onLeft: (why) => [unreadable(why, false)], onRight: () => [] }))
        )
  }
}
