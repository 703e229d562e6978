/**
 * Two surfaces compared, in both directions: can the new release read what the old one wrote, and can the old one, which
 * still runs beside it and may have to come back, read what the new one will write?
 *
 * Pure: what open work there is comes in as `Assumptions`. A change that nothing can meet any more is a note, not a refusal.
 */
import { workflowDifferences } from "./CompareWorkflow.ts"
import {
  type Assumptions,
  changed,
  type Difference,
  everything,
  keys,
  notWorseThan,
  type Verdict
} from "./Difference.ts"
import type { Surface } from "./Surface.ts"

export { type Assumptions, type Difference, everything, type Verdict } from "./Difference.ts"

const entityDifferences = (before: Surface, after: Surface, given: Assumptions): ReadonlyArray<Difference> =>
  keys(before.entities).flatMap((type) =>
    keys(before.entities[type]!).flatMap((tag): ReadonlyArray<Difference> => {
      const old = before.entities[type]![tag]!
      const now = after.entities[type]?.[tag]
      const name = `${type}.${tag}`
      const soften = notWorseThan(given.sideBySide || old.persisted ? "refuse" : "note")
      if (now === undefined) {
        const entity = after.entities[type] === undefined
        return [
          {
            rule: "rpc-gone",
            verdict: soften("refuse"),
            name,
            what: entity
              ? `Entity ${type} is no longer declared.`
              : `RPC ${tag} of entity ${type} is no longer declared.`,
            why: "A call to a runner that doesn't know it hangs or is answered with a permanent failure.",
            fix: "Keep it until no release that calls it runs any more, then remove it in a release of its own."
          }
        ]
      }
      const persistence: ReadonlyArray<Difference> =
        old.persisted === now.persisted
          ? []
          : [
              {
                rule: "rpc-persistence",
                verdict: soften("undecided"),
                name,
                what: `Calls of ${name} are ${now.persisted ? "now" : "no longer"} kept in the database.`,
                why: "Callers and runners of the two releases treat the same call differently.",
                fix: "Give the changed call a new name beside the old one."
              }
            ]
      return [
        ...persistence,
        ...(["payload", "success", "error"] as const).flatMap((part) =>
          changed(
            {
              rule: `rpc-${part}`,
              name,
              part,
              old: old[part],
              new: now[part],
              whenNewReads: "While both releases run, gateways and runners of the two call each other.",
              whenOldReads: "While both releases run, gateways and runners of the two call each other."
            },
            soften
          )
        )
      ]
    })
  )

const eventDifferences = (before: Surface, after: Surface, given: Assumptions): ReadonlyArray<Difference> => [
  ...keys(before.events).flatMap((type): ReadonlyArray<Difference> => {
    const now = after.events[type]
    if (now === undefined) {
      return [
        {
          rule: "event-gone",
          verdict: "refuse",
          name: `event ${type}`,
          what: `Event ${type} is no longer declared.`,
          why: "Rows of it lie in the event store, and clients that resume are sent them.",
          fix: "Keep the variant for reading, even when nothing writes it any more."
        }
      ]
    }
    return changed(
      {
        rule: "event-shape",
        name: `event ${type}`,
        part: type,
        old: before.events[type]!,
        new: now,
        whenNewReads: "Rows of the old form lie in the event store, and clients that resume are sent them.",
        whenOldReads: "While both run, old gateways read what new runners write."
      },
      (verdict) => verdict
    ).filter((difference) => given.sideBySide || difference.what.startsWith("The new release"))
  }),
  ...keys(after.events)
    .filter((type) => before.events[type] === undefined)
    .map(
      (type): Difference => ({
        rule: "event-new",
        // Not a note: a reader decodes the union strictly, and one row it doesn't know ends the stream of the whole session.
        verdict: given.sideBySide ? "undecided" : "note",
        name: `event ${type}`,
        what: `Event ${type} is new.`,
        why: "Gateways of the old release can't read it while both run: the stream of a session that has one breaks there.",
        fix: "Add it in two releases: the first only declares it, the next writes it. A person who sees that nothing writes it yet may let this one pass."
      })
    )
]

/** Ids that one of the two has no sample of tell nothing. */
const entityGroupDifferences = (before: Surface, after: Surface, given: Assumptions): ReadonlyArray<Difference> =>
  keys(before.entityGroups).flatMap((type): ReadonlyArray<Difference> => {
    const [old, now] = [before.entityGroups[type]!, after.entityGroups[type] ?? {}]
    const moved = keys(old).find((id) => now[id] !== undefined && now[id] !== old[id])
    if (moved === undefined) return []
    const kept = Object.values(before.entities[type] ?? {}).some(({ persisted }) => persisted)
    return [
      {
        rule: "entity-group",
        verdict: given.sideBySide || kept ? "refuse" : "note",
        name: type,
        what: `Entity ${type} moves from shard group ${old[moved]} to ${now[moved]} (${moved}, for one).`,
        why: "Each sender computes the group anew: while both releases run, one entity lives in two places at once, and calls that wait in the old group are out of turn.",
        fix: "Keep the group. A new one belongs to ids of another form, or to an entity of another name."
      }
    ]
  })

/** A lock's number is made from the group's place in the sorted list: what comes after the last moves none of the others. */
const groupsAtTheEnd = (shorter: ReadonlyArray<string>, longer: ReadonlyArray<string>): ReadonlyArray<string> =>
  shorter.every((group, index) => longer[index] === group) ? longer.slice(shorter.length) : []

/** The groups of workflows that are under way, as far as samples of their payloads tell. */
const neededBy = (surface: Surface, group: string, given: Assumptions): ReadonlyArray<string> =>
  keys(surface.workflows).filter(
    (name) => given.open(name) && surface.workflows[name]!.keySamples.some((sample) => sample.shardGroup === group)
  )

const shardingDifferences = (before: Surface, after: Surface, given: Assumptions): ReadonlyArray<Difference> => {
  const [old, now] = [before.sharding, after.sharding]
  const found: Array<Difference> = []
  if (old.shardsPerGroup !== now.shardsPerGroup) {
    found.push({
      rule: "shards-per-group",
      verdict: "refuse",
      name: "shardsPerGroup",
      what: `shardsPerGroup changes from ${old.shardsPerGroup} to ${now.shardsPerGroup}.`,
      why: "The shard of every message is stored. Under another number of shards open executions lie where nobody looks, and runners of the two releases share no locks.",
      fix: `Set it back to ${old.shardsPerGroup}. It can only change on an empty cluster with every runner stopped.`
    })
  }
  const groupsOf = ({ sharding }: Surface) => [...sharding.groups].sort()
  const [was, is] = [groupsOf(before), groupsOf(after)]
  if (was.join() === is.join()) return found
  const added = groupsAtTheEnd(was, is)
  const gone = groupsAtTheEnd(is, was)
  const what = `The shard groups change from [${was.join(", ")}] to [${is.join(", ")}].`
  if (added.length > 0) {
    found.push({
      rule: "shard-groups-new",
      verdict: "note",
      name: "availableShardGroups",
      what,
      why: "Runners of the old release take no shards of the new group: what is sent there waits for one of the new release.",
      fix: "Nothing, as long as starts choose what every live runner carries."
    })
  } else if (gone.length > 0) {
    const needed = gone.flatMap((group) => neededBy(before, group, given))
    found.push({
      rule: "shard-groups-gone",
      verdict: needed.length > 0 ? "refuse" : "note",
      name: "availableShardGroups",
      what: `${what}${needed.length > 0 ? ` Executions of ${needed.join(", ")} live in what goes.` : " No execution is open there."}`,
      why: "No runner of the new release takes the shards of a group that it does not know: what is open there waits for ever.",
      fix: "Keep the group until no execution of it is open; first let starts choose another workflow."
    })
  } else {
    found.push({
      rule: "shard-groups",
      verdict: "refuse",
      name: "availableShardGroups",
      what,
      why: "A lock's number is made from the group's place in the sorted list. Runners with other lists take the same shard under different numbers, and two of them run the same execution.",
      fix: `Give the new group a name that comes after "${was.at(-1)}": at the end of the sorted list it moves no other.`
    })
  }
  return found
}

/**
 * What stands between `before` and `after`, gravest first. Empty: the two can run side by side, and either can carry on what
 * the other began.
 */
export const compare = (
  before: Surface,
  after: Surface,
  given: Assumptions = everything
): ReadonlyArray<Difference> => {
  const workflows = keys(before.workflows).flatMap((name): ReadonlyArray<Difference> => {
    const now = after.workflows[name]
    const open = given.open(name)
    if (now !== undefined) return workflowDifferences(name, before.workflows[name]!, now, given)
    return [
      {
        rule: "workflow-gone",
        verdict: open ? "refuse" : "note",
        name,
        what: `Workflow ${name} is no longer declared: removed or renamed.${open ? "" : " No execution of it is open."}`,
        why: "A runner that doesn't know a workflow never takes its messages up, and in the end answers them with a permanent failure; approvals and results are lost with it.",
        fix: "Keep the workflow registered until no execution of it is open; put the new one beside it."
      }
    ]
  })
  const added = keys(after.workflows)
    .filter((name) => before.workflows[name] === undefined)
    .map(
      (name): Difference => ({
        rule: "workflow-new",
        verdict: "note",
        name,
        what: `Workflow ${name} is new.`,
        why: "Runners of the old release don't know it: a start that reached one would be lost for good.",
        fix: "Nothing, as long as starts choose what every live runner carries."
      })
    )
  const rank: Readonly<Record<Verdict, number>> = { refuse: 0, undecided: 1, note: 2 }
  return [
    ...workflows,
    ...added,
    ...entityDifferences(before, after, given),
    ...entityGroupDifferences(before, after, given),
    ...eventDifferences(before, after, given),
    ...shardingDifferences(before, after, given)
  ].sort((a, b) => rank[a.verdict] - rank[b.verdict])
}
