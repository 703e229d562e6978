/** How states, times and names are said in the page. */
import type { State } from "../State.ts"

export type Pipeline = State["pipelines"][number]
export type Target = Pipeline["targets"][number]
export type Rollout = Pipeline["rollouts"][number]
export type Phase = Rollout["phases"][number]
export type Job = Phase["jobs"][number]

/** Colour never stands alone: the word is beside it. */
export type Tone = "good" | "bad" | "busy" | "wait" | "calm"

const tones: Readonly<Record<string, Tone>> = {
  SUCCEEDED: "good",
  FAILED: "bad",
  APPROVAL_REJECTED: "bad",
  ABORTED: "bad",
  TERMINATED: "bad",
  IN_PROGRESS: "busy",
  CANCELLING: "busy",
  PENDING_APPROVAL: "wait"
}
export const toneOf = (state: string): Tone => tones[state] ?? "calm"

const words: Readonly<Record<string, string>> = {
  IN_PROGRESS: "in progress",
  PENDING_APPROVAL: "needs approval",
  APPROVAL_REJECTED: "rejected"
}
export const wordOf = (state: string): string => words[state] ?? state.toLowerCase().replaceAll("_", " ")

/** A rollout between two phases waits for a person or an automation, though Cloud Deploy calls it in progress. */
export const waitsToAdvance = (rollout: Rollout): Phase | undefined => rollout.phases.find((phase) => phase.advanceable)

export const stateOf = (rollout: Rollout): { readonly tone: Tone; readonly word: string } => {
  const phase = waitsToAdvance(rollout)
  return phase === undefined
    ? { tone: toneOf(rollout.state), word: wordOf(rollout.state) }
    : { tone: "wait", word: `waits before ${phase.id}` }
}

export const isOver = (rollout: Rollout): boolean =>
  ["SUCCEEDED", "CANCELLED", "APPROVAL_REJECTED"].includes(rollout.state)

export const lasted = (from: string | null, to: string | null, now: number): string => {
  if (from === null) return ""
  const seconds = Math.max(0, (to === null ? now : Date.parse(to)) - Date.parse(from)) / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

export const ago = (at: string, now: number): string => {
  const seconds = Math.max(0, now - Date.parse(at)) / 1000
  if (!Number.isFinite(seconds)) return ""
  if (seconds < 60) return "just now"
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`
  return seconds < 86_400 ? `${Math.floor(seconds / 3600)} h ago` : `${Math.floor(seconds / 86_400)} d ago`
}

/** `r-1-to-prod-0002`: Cloud Deploy's own way of naming, with the first number that is free. */
export const nextRolloutId = (pipeline: Pipeline, release: string, target: string): string => {
  const taken = new Set(pipeline.rollouts.map(({ id }) => id))
  for (let number = 1; ; number++) {
    const end = `-to-${target}-${String(number).padStart(4, "0")}`
    const id = `${release.slice(0, 63 - end.length)}${end}`
    if (!taken.has(id)) return id
  }
}

/** Where a release may go next from a target: the stage behind it, unless it is there already or on its way. */
export const nextTarget = (pipeline: Pipeline, rollout: Rollout): Target | undefined => {
  if (rollout.state !== "SUCCEEDED") return undefined
  const target = pipeline.targets[pipeline.targets.findIndex(({ id }) => id === rollout.target) + 1]
  if (target === undefined || target.current === rollout.release) return undefined
  const under = pipeline.rollouts.some(
    (other) => other.target === target.id && other.release === rollout.release && !isOver(other)
  )
  return under ? undefined : target
}
