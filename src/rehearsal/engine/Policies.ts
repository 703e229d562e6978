/** Deploy policies: who may do what to which target, and when not. Pure. */
import type {
  CalendarDate,
  DeployPolicy,
  Pipeline,
  RolloutRestriction,
  Selected,
  Target,
  TimeOfDay
} from "./Resources.ts"
import { lastOf } from "./Resources.ts"

export type Invoker = "USER" | "DEPLOY_AUTOMATION"
export type Action =
  | "ADVANCE"
  | "APPROVE"
  | "CANCEL"
  | "CREATE"
  | "IGNORE_JOB"
  | "RETRY_JOB"
  | "ROLLBACK"
  | "TERMINATE_JOBRUN"

export interface Violation {
  readonly policy: string
  readonly rule: string
}

const DAYS = ["SUNDAY", "MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY"]

const minutesOf = (time: TimeOfDay | undefined, fallback: number) =>
  time === undefined ? fallback : (time.hours ?? 0) * 60 + (time.minutes ?? 0)

/** The wall clock of a time zone. Throws a RangeError for a zone that does not exist. */
export const wallClock = (at: Date, timeZone: string) => {
  const parts = Object.fromEntries(
    new Intl.DateTimeFormat("en-US", {
      timeZone,
      weekday: "long",
      year: "numeric",
      month: "numeric",
      day: "numeric",
      hour: "numeric",
      minute: "numeric",
      hourCycle: "h23"
    })
      .formatToParts(at)
      .map(({ type, value }) => [type, value])
  )
  return {
    day: String(parts["weekday"]).toUpperCase(),
    date: { year: Number(parts["year"]), month: Number(parts["month"]), day: Number(parts["day"]) },
    minutes: Number(parts["hour"]) * 60 + Number(parts["minute"])
  }
}

/** Why this is no time zone, if it is none. Without a zone there are no windows, so an empty one is none either. */
export const unknownZone = (timeZone: unknown): string | undefined => {
  try {
    if (typeof timeZone === "string" && timeZone !== "") return void wallClock(new Date(0), timeZone)
  } catch {}
  return `${JSON.stringify(timeZone ?? "")} is no time zone. It must be a name of the IANA database, such as "America/New_York".`
}

/** Why a policy can't be carried out, if it can't: told when it is applied, not to whom it would forbid something on a Saturday. */
export const invalid = (rules: DeployPolicy["rules"]): string | undefined => {
  for (const { rolloutRestriction: rule } of rules ?? []) {
    const zone = rule?.timeWindows === undefined ? undefined : unknownZone(rule.timeWindows.timeZone)
    if (zone !== undefined) return `The rule "${rule?.id}": ${zone}`
    const undated = (rule?.timeWindows?.oneTimeWindows ?? []).some(({ startDate, endDate }) =>
      [startDate, endDate].some((date) => ![date?.year, date?.month, date?.day].every(Number.isInteger))
    )
    if (undated)
      return `The rule "${rule?.id}": a one-time window needs a startDate and an endDate with year, month and day.`
  }
  return undefined
}

const stamp = (date: CalendarDate, minutes: number) => Date.UTC(date.year, date.month - 1, date.day, 0, minutes)

/** Whether the restriction's windows cover this moment. Without windows it always holds. */
export const covers = (restriction: RolloutRestriction, at: Date): boolean => {
  const windows = restriction.timeWindows
  if (windows === undefined) return true
  const now = wallClock(at, windows.timeZone)
  const weekly = (windows.weeklyWindows ?? []).some((window) => {
    const days = window.daysOfWeek?.length ? window.daysOfWeek : DAYS
    return (
      days.includes(now.day) &&
      now.minutes >= minutesOf(window.startTime, 0) &&
      now.minutes < minutesOf(window.endTime, 24 * 60)
    )
  })
  const once = (windows.oneTimeWindows ?? []).some((window) => {
    const moment = stamp(now.date, now.minutes)
    return (
      moment >= stamp(window.startDate, minutesOf(window.startTime, 0)) &&
      moment < stamp(window.endDate, minutesOf(window.endTime, 24 * 60))
    )
  })
  return weekly || once
}

const selects = (selected: Selected | undefined, name: string, labels: Readonly<Record<string, string>> = {}) =>
  selected === undefined ||
  ((selected.id === undefined || selected.id === "*" || selected.id === name) &&
    Object.entries(selected.labels ?? {}).every(([key, value]) => labels[key] === value))

const applies = (list: ReadonlyArray<string> | undefined, value: string) => !list?.length || list.includes(value)

/** The first rule that forbids it. */
export const forbidden = (
  policies: ReadonlyArray<DeployPolicy>,
  question: {
    readonly pipeline: Pipeline
    readonly target: Target
    readonly action: Action
    readonly invoker: Invoker
    readonly at: Date
    /** Policies that the caller overrides, by id. */
    readonly overridden: ReadonlyArray<string>
  }
): Violation | undefined => {
  const { pipeline, target } = question
  for (const policy of policies) {
    if (policy.suspended === true || question.overridden.includes(lastOf(policy.name))) continue
    const selected = (policy.selectors ?? []).some(
      (selector) =>
        selects(selector.deliveryPipeline, lastOf(pipeline.name), pipeline.labels) &&
        selects(selector.target, lastOf(target.name), target.labels)
    )
    if (!selected) continue
    for (const { rolloutRestriction: rule } of policy.rules ?? []) {
      if (
        rule !== undefined &&
        applies(rule.actions, question.action) &&
        applies(rule.invokers, question.invoker) &&
        covers(rule, question.at)
      ) {
        return { policy: lastOf(policy.name), rule: rule.id }
      }
    }
  }
  return undefined
}
