/**
 * Promotions by the clock: when a schedule is due, and which release it takes where. Pure.
 *
 * The schedule's clock starts when its automation was last applied and runs as many times faster as waits are shorter, so that
 * "Monday at nine" comes in a rehearsal too. At a scale of 1 it is the clock on the wall. Deploy policies go by that one always.
 */
import { Cron, Either } from "effect"
import { destination, type PlannedRun, selected } from "./Automations.ts"
import { unknownZone } from "./Policies.ts"
import {
  type Automation,
  type AutomationRule,
  lastOf,
  type Rollout,
  releaseOf,
  type Stage,
  type Target
} from "./Resources.ts"

type TimedRule = NonNullable<AutomationRule["timedPromoteReleaseRule"]>

/** Each minute, hour, day, month and weekday named by its number is shorter. */
const LONGEST = 500

/** The schedule, or why it is none. Five fields: the seconds that the parser would take come in no cron of Google's. */
const parsed = ({ schedule, timeZone }: Pick<TimedRule, "schedule" | "timeZone">): Either.Either<Cron.Cron, string> => {
  const zone = unknownZone(timeZone)
  if (zone !== undefined) return Either.left(zone)
  // Google's definitions say nothing of what must be there.
  if (typeof schedule !== "string") return Either.left("it has no schedule.")
  if (schedule.length > LONGEST) return Either.left(`A schedule has at most ${LONGEST} characters.`)
  if (schedule.trim().split(/\s+/).length !== 5) {
    return Either.left(
      `"${schedule}" has not the five fields of cron: minute, hour, day of the month, month, day of the week.`
    )
  }
  return Either.mapLeft(
    Cron.parse(schedule, timeZone),
    ({ message }) => `"${schedule}" is no schedule of cron: ${message}.`
  ).pipe(
    Either.flatMap((cron) =>
      Either.try({
        // It looks ten thousand steps ahead: what is not found by then, such as the 30th of February, never comes.
        try: () => {
          Cron.next(cron, 0)
          return cron
        },
        catch: () => `"${schedule}" never comes.`
      })
    )
  )
}

/** Why a rule's schedule is none, if it is none. */
export const invalidSchedule = (rule: Pick<TimedRule, "schedule" | "timeZone">): string | undefined =>
  Either.match(parsed(rule), { onLeft: (reason) => reason, onRight: () => undefined })

/** Why a rule can't be carried out, if it can't: told when it is applied, since nobody looks when it would be due. */
export const invalid = (rules: ReadonlyArray<AutomationRule> | undefined): string | undefined => {
  for (const { timedPromoteReleaseRule: rule } of rules ?? []) {
    if (rule === undefined) continue
    const reason = invalidSchedule(rule)
    if (reason !== undefined) return `The rule "${rule.id}": ${reason}`
  }
  return undefined
}

/** What was done last: kept beside the resources, for the schedule as it was applied then. */
export interface Done {
  /** When the automation was last applied. */
  readonly origin: string
  /** The moment of the schedule, by its own clock. */
  readonly at: number
}

/** The last moment of the schedule that has come since, by its own clock. Moments missed by a server that was down come once, as one. */
export const due = (
  rule: TimedRule,
  origin: string,
  done: Done | undefined,
  now: number,
  clockScale: number
): number | undefined => {
  const cron = parsed(rule)
  if (Either.isLeft(cron)) return undefined
  const from = Date.parse(origin)
  const clock = from + (now - from) * clockScale
  const since = done?.origin === origin ? done.at : from
  if (Cron.next(cron.right, new Date(since)).getTime() > clock) return undefined
  // It looks for whole seconds before the given one; that of the moment itself has come.
  return Cron.prev(cron.right, new Date(Math.floor(clock / 1000) * 1000 + 1000)).getTime()
}

const runs = (ofTarget: ReadonlyArray<Rollout>): Rollout | undefined =>
  ofTarget
    .filter(({ state }) => state === "SUCCEEDED")
    .sort((a, b) => (b.deployEndTime ?? "").localeCompare(a.deployEndTime ?? ""))[0]

const COMING = ["PENDING", "PENDING_APPROVAL", "IN_PROGRESS"]

/** What each selected target runs goes on, unless its destination has it already or is about to. */
export const promotions = (
  automation: Automation,
  rule: TimedRule,
  at: number,
  targets: ReadonlyArray<Target>,
  stages: ReadonlyArray<Stage>,
  rollouts: ReadonlyArray<Rollout>
): ReadonlyArray<PlannedRun & { readonly source: Rollout }> =>
  targets
    .filter((target) => stages.some(({ targetId }) => targetId === lastOf(target.name)) && selected(automation, target))
    .flatMap((target) => {
      const from = lastOf(target.name)
      const to = destination(stages, from, rule.destinationTargetId)
      const source = runs(rollouts.filter(({ targetId }) => targetId === from))
      if (to === undefined || source === undefined) return []
      const release = releaseOf(source.name)
      const there = rollouts.filter(({ targetId }) => targetId === to)
      const running = runs(there)
      if (running !== undefined && releaseOf(running.name) === release) return []
      if (there.some(({ name, state }) => COMING.includes(state) && releaseOf(name) === release)) return []
      return [
        {
          key: `${lastOf(automation.name)}-${rule.id}-${from}-${at}`,
          automation,
          ruleId: rule.id,
          waitMs: 0,
          intent: { _tag: "Promote", targetId: to, phase: rule.destinationPhase },
          source
        }
      ]
    })
