/**
 * Where a target goes back to. Pure: release records and Cloud Deploy's rollouts in, a choice or a refusal out.
 *
 * A release was good on a target when its last job there wrote it down as deployed, and it then held the target for a while.
 * gcloud's own choice is another one: `targets rollback` takes the second newest SUCCEEDED rollout, so after a failed rollout it
 * passes over the release that is good and goes one further back, and asked twice it goes to and fro.
 */
import type { Finding } from "../Evidence.ts"
import type { ReleaseRecord } from "../Releases.ts"

export type Record = Pick<
  ReleaseRecord,
  "release" | "state" | "target" | "rollout" | "recorded_at" | "deployed_at" | "retired_at"
>

/** One rollout to this target, as Cloud Deploy tells of it. */
export interface Rollout {
  /** The whole resource name. */
  readonly name: string
  readonly state: string
  readonly createdAt: Date
}

export interface Input {
  readonly target: string
  readonly now: Date
  /** So long a release must have held the target before it counts as good by itself. */
  readonly settledMs: number
  readonly records: ReadonlyArray<Record>
  /** Releases with runners that live. */
  readonly live: ReadonlyArray<string>
  /** Rollouts to this target. Undefined: Cloud Deploy was not asked. */
  readonly rollouts: ReadonlyArray<Rollout> | undefined
  /** A commit or a Cloud Deploy release that a person named. */
  readonly to?: string | undefined
  /** Nobody looks: an alert or a schedule asked. */
  readonly automated: boolean
}

export interface Choice {
  readonly _tag: "Choice"
  readonly record: Record
  /** What it goes back from: the newest that reached the target. */
  readonly from: string
  /** Cloud Deploy's id of the chosen release; undefined when Cloud Deploy was not asked. */
  readonly releaseId: string | undefined
  readonly rolloutToRollBack: string | undefined
  /** Rollouts that hold the target. A rollback would wait behind them, and behind a stuck pod until the deadline. */
  readonly cancel: ReadonlyArray<string>
  readonly reasons: ReadonlyArray<string>
}

export interface Refusal {
  readonly _tag: "Refusal"
  readonly finding: Finding
  /** True when something must be there first, rather than a choice being wrong. */
  readonly precondition: boolean
}

const HOLDING = ["PENDING", "PENDING_APPROVAL", "PENDING_RELEASE", "IN_PROGRESS"]

const idOf = (name: string) => name.slice(name.lastIndexOf("/") + 1)
export const releaseIdOf = (rollout: string): string => /\/releases\/([^/]+)\//.exec(rollout)?.[1] ?? ""

const short = (release: string) => (/^[0-9a-f]{40}/.test(release) ? release.slice(0, 12) : release)

const refuse = (
  rule: string,
  severity: "hazard" | "undecided",
  what: string,
  where: string,
  why: string,
  fix: string,
  precondition = false
): Refusal => ({ _tag: "Refusal", precondition, finding: { rule, severity, what, where, why, fix } })

const time = (date: Date | null) => date?.getTime() ?? 0

/** How long a release held the target: until the next one was deployed after it, or until now. */
const heldMs = (record: Record, records: ReadonlyArray<Record>, now: Date): number => {
  const after = records.filter((one) => one !== record && time(one.deployed_at) > time(record.deployed_at))
  return Math.min(now.getTime(), ...after.map((one) => time(one.deployed_at))) - time(record.deployed_at)
}

/** Cloud Deploy's release of a record: by the rollout that wrote the record, else by the name the build gives. */
const cloudDeployId = (record: Record, rollouts: ReadonlyArray<Rollout>): string | undefined =>
  releaseIdOf(rollouts.find(({ name }) => idOf(name) === record.rollout)?.name ?? "") ||
  rollouts
    .map(({ name }) => releaseIdOf(name))
    .find((id) => /^r-[0-9a-f]{7,}$/.test(id) && record.release.startsWith(id.slice(2)))

const named = (to: string, records: ReadonlyArray<Record>, rollouts: ReadonlyArray<Rollout>) =>
  records.filter(
    (record) =>
      record.release === to ||
      (to.length >= 7 && record.release.startsWith(to)) ||
      cloudDeployId(record, rollouts) === to
  )

export const plan = (input: Input): Choice | Refusal => {
  const { target, now, live } = input
  const rollouts = [...(input.rollouts ?? [])].sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime())
  const records = input.records.filter((record) => record.target === null || record.target === target)
  const elsewhere = input.records.find((record) => record.target !== null && record.target !== target)
  if (records.length === 0 && elsewhere !== undefined) {
    return refuse(
      "rollback-other-target",
      "hazard",
      `This database belongs to target ${elsewhere.target}, not to ${target}.`,
      "agents.releases",
      "A release that was good on one target says nothing about another, and the gates would judge the wrong work in flight.",
      `Give the database of ${target}.`,
      true
    )
  }
  const good = records
    .filter(({ deployed_at }) => deployed_at !== null)
    .sort((a, b) => time(b.deployed_at) - time(a.deployed_at))
  const deployed = records.find(({ state }) => state === "deployed")
  const nothing = (what: string) =>
    refuse(
      "rollback-no-choice",
      "hazard",
      what,
      `target ${target}, agents.releases`,
      "A release counts as good once its smoke run has passed in the last phase there and its record was written.",
      "Deploy a release that mends the fault: forward is the only way from here.",
      true
    )
  if (deployed === undefined) return nothing(`No release was ever good on ${target}.`)

  // What is on its way: a rollout that failed or holds the target, or runners of a release that is not yet deployed.
  const newest = rollouts[0]
  const newestId = newest === undefined ? undefined : releaseIdOf(newest.name)
  const deployedId = cloudDeployId(deployed, rollouts)
  const halfway = records
    .filter(
      (record) =>
        record.state === "deploying" && (live.includes(record.release) || cloudDeployId(record, rollouts) === newestId)
    )
    .sort((a, b) => time(b.recorded_at) - time(a.recorded_at))[0]
  const unfinished =
    halfway !== undefined || (newest !== undefined && newest.state !== "SUCCEEDED" && newestId !== deployedId)
  const from = unfinished ? (halfway?.release ?? newestId ?? deployed.release) : deployed.release

  const choose = (record: Record, reasons: ReadonlyArray<string>): Choice | Refusal => {
    const releaseId = input.rollouts === undefined ? undefined : cloudDeployId(record, rollouts)
    if (input.rollouts !== undefined && releaseId === undefined) {
      return refuse(
        "rollback-release-unknown",
        "hazard",
        `Cloud Deploy knows no release of ${short(record.release)} on ${target}.`,
        `rollout ${record.rollout ?? "(not recorded)"}`,
        "A rollback is a rollout of that very release, with its own manifests and pipeline.",
        "Check --project, --region and --delivery-pipeline, or create the release of that commit again.",
        true
      )
    }
    return {
      _tag: "Choice",
      record,
      from,
      releaseId,
      rolloutToRollBack: newest?.name,
      cancel: rollouts.filter(({ state }) => HOLDING.includes(state)).map(({ name }) => name),
      reasons
    }
  }

  if (input.automated && input.to !== undefined) {
    return refuse(
      "rollback-automated",
      "hazard",
      "Automation may not choose the release to go back to.",
      `--to ${input.to}`,
      "Which one was good here is written down; a fixed name in a script goes stale.",
      "Leave --to out, or let a person run it."
    )
  }
  if (input.to !== undefined) {
    const found = named(input.to, records, rollouts)
    if (found.length !== 1) {
      return refuse(
        "rollback-to-unknown",
        "hazard",
        found.length === 0
          ? `No release ${input.to} is recorded on ${target}.`
          : `${input.to} is several releases: ${found.map(({ release }) => release).join(", ")}.`,
        `--to ${input.to}`,
        "Only a release that ran here has a surface and statements to judge.",
        `Name one of ${good.map(({ release }) => short(release)).join(", ")} ("deliver release list" shows all).`
      )
    }
    const record = found[0]!
    if (record.deployed_at === null) {
      return refuse(
        "rollback-never-good",
        "hazard",
        `Release ${short(record.release)} was never good on ${target}: it was recorded, and its last job there never passed.`,
        `--to ${input.to}`,
        "Going back to a release that failed here leaves the target as broken as it is.",
        `Name one of ${good.map(({ release }) => short(release)).join(", ")}.`
      )
    }
    if (record === deployed && !unfinished) {
      return refuse(
        "rollback-to-deployed",
        "hazard",
        `Release ${short(record.release)} is what ${target} runs.`,
        `--to ${input.to}`,
        "A rollback to it would change nothing.",
        "Name an older release, or leave --to out."
      )
    }
    return choose(record, ["a person named it", `it was good on ${target} at ${record.deployed_at.toISOString()}`])
  }

  // After a rollout that did not end well the deployed one is the last good. This is where gcloud goes one too far.
  const candidate = unfinished
    ? deployed
    : good.find((record) => record !== deployed && record.state === "rollback-choice")
  if (candidate === undefined)
    return nothing(`No release before ${short(deployed.release)} is kept as a choice on ${target}.`)
  if (!unfinished && time(candidate.recorded_at) > time(deployed.recorded_at)) {
    return refuse(
      "rollback-of-rollback",
      "undecided",
      `${target} runs ${short(deployed.release)} because it was rolled back from ${short(candidate.release)}; going back once more would bring that one again.`,
      `target ${target}`,
      "Whoever rolled back had a reason, and two rollbacks in a row go to and fro.",
      input.automated
        ? "Automation never rolls a rollback back: a person must look."
        : `If you mean it, name it: --to ${short(candidate.release)}. An older one is named the same way.`
    )
  }
  const held = heldMs(candidate, good, now)
  if (held < input.settledMs) {
    return refuse(
      "rollback-not-settled",
      "undecided",
      `${short(candidate.release)} held ${target} for ${Math.round(held / 1000)} s only; ${Math.round(input.settledMs / 1000)} s make a release count as good by itself.`,
      `target ${target}`,
      "A fault may show after a while, and a rollback to a bad release costs the time of two.",
      input.automated
        ? "A person must look. Nothing was changed."
        : `If you know it is good, name it: --to ${short(candidate.release)}.`
    )
  }
  return choose(candidate, [
    unfinished
      ? `${short(from)} never got through on ${target}; ${short(candidate.release)} is deployed there and was good until then`
      : `it was deployed on ${target} before ${short(deployed.release)}`,
    `it held the target for ${Math.round(held / 60_000)} min`
  ])
}
