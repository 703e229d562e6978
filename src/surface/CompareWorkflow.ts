/** What stands between two releases of one workflow. */
import {
  type Assumptions,
  changed,
  type Difference,
  keys,
  notWorseThan,
  type Part,
  type Verdict
} from "./Difference.ts"
import type { QueueSurface, WorkflowSurface } from "./Surface.ts"

export const workflowDifferences = (
  name: string,
  before: WorkflowSurface,
  after: WorkflowSurface,
  given: Assumptions
): ReadonlyArray<Difference> => {
  const found: Array<Difference> = []
  const shapes = notWorseThan(given.sideBySide ? "refuse" : "note")
  const names = notWorseThan(given.open(name) ? "refuse" : "note")
  const unmet = " No open execution can meet it."
  const missed = given.open(name) ? "" : unmet

  const parts = (["payload", "success", "error"] as const).map(
    (part): Part => ({
      rule: `workflow-${part}`,
      name,
      part,
      old: before[part],
      new: after[part],
      whenNewReads:
        part === "payload"
          ? "An execution whose payload can't be read is answered with a permanent failure; nothing heals it."
          : "Whoever asks for the result of an execution that the old release finished gets a failure.",
      whenOldReads:
        part === "payload"
          ? "While both run, a start may reach an old runner: it is answered with a permanent failure. After a rollback, so is every execution the new release began."
          : "While both run, or after a rollback, a result that the new release recorded can't be read."
    })
  )
  for (const part of parts) found.push(...changed(part, shapes))

  for (const activity of keys(before.activities)) {
    const [old, now] = [before.activities[activity]!, after.activities[activity]]
    const here = `${name} / activity ${activity}`
    const met = given.open(name) && given.begun?.(name, activity) !== false
    const verdict = met ? "refuse" : "note"
    const missed = met ? "" : unmet
    if (now === undefined) {
      found.push({
        rule: "activity-gone",
        verdict,
        name: here,
        what: `Activity ${activity} of ${name} is no longer declared: removed or renamed.${missed}`,
        why: "Effect finds recorded work by name. An execution past this step would do the work again under the new name, or skip what it needs.",
        fix: "Keep the activity under its old name. To rename it, add a new workflow version and let the old one drain."
      })
      continue
    }
    if (now.keyed !== old.keyed) {
      found.push({
        rule: "activity-gone",
        verdict,
        name: here,
        what: `Activity ${activity} of ${name} is ${now.keyed ? "now" : "no longer"} keyed, so its durable names change.${missed}`,
        why: "Work recorded under the old name is not found, and is done again.",
        fix: "Declare the changed activity under a new name beside the old one, in a new workflow version."
      })
    }
    if (old.retries !== undefined && now.retries !== undefined && now.retries < old.retries) {
      found.push({
        rule: "retry-budget",
        // Where the rows are at hand they say how many were used.
        verdict: met && given.begun === undefined ? "undecided" : "note",
        name: here,
        what: `Activity ${activity} of ${name} is tried again ${now.retries} times at most, no longer ${old.retries}.${missed}`,
        why: "An execution that has used more attempts fails with an error that it had already overcome.",
        fix: "The gate in the target database counts the attempts that were used. A smaller number belongs to a new workflow version."
      })
    }
    for (const part of ["success", "error"] as const) {
      found.push(
        ...changed(
          {
            rule: "activity-result",
            name: here,
            part,
            old: old[part],
            new: now[part],
            whenNewReads: "An execution that goes on past this step reads the recorded result, and fails for good.",
            whenOldReads:
              "An execution moves between runners: an old one that reads the result of a new one fails it for good."
          },
          shapes
        )
      )
    }
  }

  for (const deferred of keys(before.deferreds)) {
    const [old, now] = [before.deferreds[deferred]!, after.deferreds[deferred]]
    const here = `${name} / deferred ${deferred}`
    if (now === undefined) {
      found.push({
        rule: "deferred-gone",
        verdict: names("refuse"),
        name: here,
        what: `Deferred ${deferred} of ${name} is no longer declared: removed or renamed.${missed}`,
        why: "An execution that waits for it would wait for another name: the answer that comes is never read.",
        fix: "Keep the deferred under its old name until no execution waits for it."
      })
      continue
    }
    for (const part of ["success", "error"] as const) {
      found.push(
        ...changed(
          {
            rule: "deferred-result",
            name: here,
            part,
            old: old[part],
            new: now[part],
            whenNewReads: "An answer that was given already can't be read, and the execution fails for good.",
            whenOldReads: "An answer given through the new release can't be read by an old runner."
          },
          shapes
        )
      )
    }
  }

  for (const clock of before.clocks.filter((clock) => !after.clocks.includes(clock))) {
    found.push({
      rule: "clock-gone",
      verdict: names("refuse"),
      name: `${name} / clock ${clock}`,
      what: `Clock ${clock} of ${name} is no longer declared: removed or renamed.${missed}`,
      why: "An execution that sleeps would sleep again from the start under the new name.",
      fix: "Keep the clock under its old name until no execution sleeps on it."
    })
  }

  for (const queue of keys(before.queues)) {
    const [old, now] = [before.queues[queue]!, after.queues[queue]]
    const here = `${name} / queue ${queue}`
    if (now === undefined) {
      found.push({
        rule: "queue-gone",
        verdict: names("refuse"),
        name: here,
        what: `Queue ${queue} of ${name} is no longer declared: removed or renamed.${missed}`,
        why: "Items and answers are kept by the queue's name. No worker takes what waits in it any more, and what was answered is handed out again under another name.",
        fix: "Keep the queue, and a worker for it, under its old name until no execution waits for an item of it."
      })
      continue
    }
    for (const part of ["payload", "success", "error"] as const) {
      found.push(
        ...changed(
          {
            rule: part === "payload" ? "queue-payload" : "queue-result",
            name: here,
            part,
            old: old[part],
            new: now[part],
            whenNewReads:
              part === "payload"
                ? "An item that the old release offered can't be worked on: its execution waits for ever."
                : "An execution that goes on past an answered item reads the answer, and fails for good.",
            whenOldReads:
              part === "payload"
                ? "While both run, an old worker takes an item of the new release and can't read it."
                : "An execution moves between runners: an old one that reads the new answer fails it for good."
          },
          shapes
        )
      )
    }
    if (queueKeyMoved(old, now)) {
      found.push({
        rule: "queue-key",
        verdict: names("refuse"),
        name: here,
        what: `The key of queue ${queue} of ${name} makes another key of the same item.${missed}`,
        why: "An execution that goes on past an answered item finds no answer under the new key, and hands the item out again.",
        fix: "Keep the key as it was. Another key belongs to a new queue in a new workflow version."
      })
    }
  }

  found.push(...keyDifferences(name, before, after, shapes))
  return found
}

/** Samples whose payload is another one tell nothing: a changed field is the payload's own difference. */
const queueKeyMoved = (old: QueueSurface, now: QueueSurface): boolean =>
  old.keySamples.some(({ payload, key }, i) => {
    const other = now.keySamples[i]
    return other !== undefined && JSON.stringify(other.payload) === JSON.stringify(payload) && other.key !== key
  })

const keyDifferences = (
  name: string,
  before: WorkflowSurface,
  after: WorkflowSurface,
  soften: (verdict: Verdict) => Verdict
): ReadonlyArray<Difference> => {
  const same = (a: unknown, b: unknown) => JSON.stringify(a) === JSON.stringify(b)
  const pairs = before.keySamples.flatMap((old, i) => {
    const now = after.keySamples[i]
    if (now === undefined) return []
    // Fields that only one side has are no obstacle; a field with another sample means another type.
    const shared = Object.keys(old.payload).filter((field) => field in now.payload)
    return shared.every((field) => same(old.payload[field], now.payload[field])) ? [{ old, now }] : []
  })
  if (before.keySamples.length > 0 && pairs.length === 0) {
    return [
      {
        rule: "idempotency-key",
        verdict: soften("undecided"),
        name,
        what: `Whether the idempotency key of ${name} is still the same can't be told: no sample payload fits both releases.`,
        why: "Another key gives a retried start another execution: the work would be done twice.",
        fix: "Look at the key's fields yourself; the gate in the target database compares with the real payloads."
      }
    ]
  }
  const moved = pairs.find(({ old, now }) => old.executionId !== now.executionId)
  const regrouped = pairs.find(({ old, now }) => old.shardGroup !== now.shardGroup)
  return [
    ...(moved === undefined
      ? []
      : [
          {
            rule: "idempotency-key",
            verdict: soften("refuse"),
            name,
            what: `The idempotency key of ${name} makes another execution id of the same payload.`,
            why: "A retried start, an approval or a status call of a run under way finds no execution: a second one is started and does the work twice.",
            fix: "Keep the key as it was. A new key belongs to a new workflow version."
          }
        ]),
    ...(regrouped === undefined
      ? []
      : [
          {
            rule: "shard-group",
            verdict: soften("refuse"),
            name,
            what: `${name} moves from shard group ${regrouped.old.shardGroup} to ${regrouped.now.shardGroup}.`,
            why: "The group is stored with each message and computed anew by each sender: what is open stays in the old group, and the two releases disagree about where the rest goes.",
            fix: "Keep the group; use the new one for a new workflow version."
          }
        ])
  ]
}
