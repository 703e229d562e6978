/**
 * Can this release carry everything that this database holds, next to every other release that still runs?
 *
 * Two questions, put together: what every open execution demands (exact: its own rows, decoded with this release's own
 * schemas), and what the releases that run beside it may yet write or have to read (surfaces, compared in both directions).
 * Where both speak about the same thing, the rows are right.
 *
 * With an older release as the candidate, the same question is: may we roll back?
 */
import { Clock, Effect, Either, Stream } from "effect"
import { compare, type Difference } from "../../surface/Compare.ts"
import { type AnyDeclaration, type AnyEntity, declaredName } from "../../surface/Declared.ts"
import { canonicalText } from "../../surface/Shape.ts"
import type { Surface } from "../../surface/Surface.ts"
import type { Check, Finding, Severity } from "../Evidence.ts"
import { type Execution, type Lived, OpenWork, type OpenWorkUnreadable } from "./OpenWork.ts"
import { type Before, describe, type OtherRelease, runsBeside } from "./OtherReleases.ts"
import { type Candidate, fine, type Problem } from "./Rule.ts"
import { callRules, executionRules, poisoned, resultRules } from "./Rules.ts"
import * as Judge from "./replay/Judge.ts"
import type { Replayer } from "./replay/Replay.ts"
import { replayRules } from "./replay/Rules.ts"
import { Ages, waitable, wayOut } from "./Waiting.ts"

export interface Input {
  readonly release: string
  readonly surface: Surface
  readonly declarations: ReadonlyArray<AnyDeclaration>
  readonly entities: ReadonlyArray<AnyEntity>
  /** Undefined: this database has no release records yet. */
  readonly others: ReadonlyArray<OtherRelease> | undefined
  /** The releases that may have left open work here. Undefined when that can't be told: one is not known, or can't be read. */
  readonly before?: Before | undefined
  /** Where in the source something is declared that a finding is about (`Places`), as far as it is known. */
  readonly place?: ((subject: string) => string | undefined) | undefined
  /** This release's own workflow functions, ready to be replayed. Undefined: names and rows alone are judged. */
  readonly replayer?: Replayer | undefined
}

export interface Result {
  readonly findings: ReadonlyArray<Finding>
  readonly checks: ReadonlyArray<Check>
}

/** What is said of something declared. A finding's `where` names it, with its place in the source where that is known. */
interface About extends Omit<Finding, "where"> {
  readonly subject: string
  /** Follows the subject. */
  readonly of: string
}

const finding =
  (place: Input["place"]) =>
  ({ subject, of, ...said }: About): Finding => {
    const at = place?.(subject)
    return { ...said, where: `${subject}${at === undefined ? "" : ` (${at})`}${of}` }
  }

/** More would not help a person, and evidence is kept for years. */
const SHOWN = 5

const count = (n: number, one: string, many = `${one}s`) => `${n} ${n === 1 ? one : many}`

/** Problems of many executions, told once each with their number. */
class Tally {
  private readonly problems = new Map<
    string,
    {
      readonly problem: Problem
      readonly workflow: string
      total: number
      readonly ids: Array<string>
      readonly ages: Ages
    }
  >()

  /** `execution`: an open one, which ends one day. */
  add(problem: Problem, id: string, execution?: Execution): void {
    const key = `${problem.rule} ${problem.severity} ${problem.subject}`
    const entry = this.problems.get(key) ?? {
      problem,
      workflow: execution?.workflow ?? "",
      total: 0,
      ids: [],
      ages: new Ages()
    }
    this.problems.set(key, entry)
    if (entry.ids.at(-1) === id) return
    entry.total++
    if (execution !== undefined) entry.ages.add(execution.startedAt)
    if (entry.ids.length < SHOWN) entry.ids.push(id)
  }

  /** Whether something at least as grave was found about this already. */
  covers({ rule, name }: Difference): boolean {
    return [...this.problems.values()].some(({ problem }) => problem.rule === rule && problem.subject === name)
  }

  /** Workflows of whose executions somebody may want to know when they will have ended. */
  get awaited(): ReadonlyArray<string> {
    return [...new Set([...this.problems.values()].filter(mayBeAwaited).map(({ workflow }) => workflow))]
  }

  findings(noun: string, lived: ReadonlyMap<string, Lived | undefined> = new Map(), now = 0): ReadonlyArray<About> {
    return [...this.problems.values()].map((entry) => {
      const { problem, workflow, total, ids, ages } = entry
      const wait = mayBeAwaited(entry) ? `\n${wayOut(workflow, ages, lived.get(workflow), now)}` : ""
      return {
        rule: problem.rule,
        severity: problem.severity,
        what: problem.what,
        subject: problem.subject,
        of: `: ${count(total, noun)}: ${ids.join(", ")}${total > ids.length ? `, and ${total - ids.length} more` : ""}`,
        why: problem.why,
        fix: `${problem.fix}${wait}`,
        ...(problem.detail === undefined ? {} : { detail: problem.detail })
      }
    })
  }
}

const mayBeAwaited = ({ problem, ages }: { readonly problem: Problem; readonly ages: Ages }) =>
  problem.severity !== "note" && waitable.has(problem.rule) && ages.count > 0

interface Seen {
  readonly byState: Map<Execution["state"], number>
  readonly byWorkflow: Map<string, number>
  /** Declared names of activities that an execution which can go on has begun. */
  readonly begun: Map<string, Set<string>>
  calls: number
  results: number
}

const severityOf: Readonly<Record<Difference["verdict"], Severity>> = {
  refuse: "hazard",
  undecided: "undecided",
  note: "note"
}

const surfacesOf = (others: ReadonlyArray<OtherRelease>) =>
  others.flatMap((other) =>
    other.surface !== undefined && Either.isRight(other.surface) ? [{ other, surface: other.surface.right }] : []
  )

/** What other releases demand. Differences that several of them share are told once. */
const againstOthers = (input: Input, seen: Seen, told: ReadonlyArray<Tally>): ReadonlyArray<About> => {
  const differing = new Map<string, { readonly difference: Difference; readonly against: Array<OtherRelease> }>()
  for (const { other, surface } of surfacesOf(input.others ?? [])) {
    const differences = compare(surface, input.surface, {
      open: (workflow) => (seen.byWorkflow.get(workflow) ?? 0) > 0,
      begun: (workflow, activity) => seen.begun.get(workflow)?.has(activity) === true,
      sideBySide: runsBeside(other)
    })
    for (const difference of differences) {
      if (told.some((tally) => tally.covers(difference))) continue
      const key = `${difference.rule} ${difference.verdict} ${difference.name} ${difference.what}`
      const entry = differing.get(key) ?? { difference, against: [] }
      differing.set(key, entry)
      entry.against.push(other)
    }
  }
  return [...differing.values()].map(
    ({ difference, against }): About => ({
      rule: difference.rule,
      severity: severityOf[difference.verdict],
      what: difference.what,
      subject: difference.name,
      of: `, against release ${against.map(describe).join(" and ")}`,
      why: difference.why,
      fix: difference.fix
    })
  )
}

/** Releases about which the comparison can say nothing. */
const unknown = (other: OtherRelease): ReadonlyArray<Finding> => {
  if (other.surface === undefined) {
    return [
      {
        rule: "release-unknown",
        severity: "undecided",
        what: `Runners of a release live here that nobody recorded.`,
        where: describe(other),
        why: "What they may write, and must be able to read, is not known; only the rows could be checked.",
        fix: "End those runners, or record their release by running its migration step with its own image."
      }
    ]
  }
  if (Either.isRight(other.surface)) return []
  const { newer, message } = other.surface.left
  return [
    {
      rule: "surface-unreadable",
      severity: runsBeside(other) || newer ? "undecided" : "note",
      what: newer
        ? "A recorded surface is of a newer format than this release reads."
        : "A recorded surface can't be read.",
      where: describe(other),
      why: "What that release may write, and must be able to read, is not known; only the rows could be checked.",
      fix: newer
        ? "Ask the newer release's own gate (its image), or let a person compare the two."
        : "Record that release again with its own image.",
      detail: message
    }
  ]
}

/** Clocks of machines differ, by less than this. */
const CLOCKS_MS = 60_000

/** What an execution may wait for: whatever a release before has, unless this one may have had it since. */
const leftBy =
  (before: Input["before"]) =>
  ({ workflow, answeredAt }: Execution) => {
    if (before?.since !== undefined && !(answeredAt !== undefined && answeredAt < before.since - CLOCKS_MS))
      return undefined
    const known = before?.surfaces.flatMap(({ workflows }) => workflows[workflow] ?? []) ?? []
    return known.length === 0
      ? undefined
      : {
          deferreds: new Set(known.flatMap(({ deferreds }) => Object.keys(deferreds))),
          queues: known.some(({ queues }) => Object.keys(queues ?? {}).length > 0)
        }
  }

/** Judges the candidate. What it needs of the database comes through `OpenWork`. */
export const judge = (input: Input): Effect.Effect<Result, OpenWorkUnreadable, OpenWork> =>
  Effect.gen(function* () {
    const work = yield* OpenWork
    const written = surfacesOf(input.others ?? []).map(({ surface }) => surface)
    const candidate: Candidate = {
      release: input.release,
      declarations: new Map(input.declarations.map((each) => [each.workflow.name, each])),
      entities: new Map(input.entities.map((each) => [each.type, each])),
      sharding: input.surface.sharding,
      newActivities: (workflow) => {
        const before = written.flatMap(({ workflows }) => workflows[workflow] ?? [])
        return before.length === 0
          ? undefined
          : Object.keys(input.surface.workflows[workflow]?.activities ?? {}).filter((name) =>
              before.every(({ activities }) => activities[name] === undefined)
            )
      }
    }
    const seen: Seen = { byState: new Map(), byWorkflow: new Map(), begun: new Map(), calls: 0, results: 0 }
    const rows = new Tally()
    const calls = new Tally()
    const exists = yield* work.exists
    const replay =
      input.replayer === undefined ? undefined : yield* Judge.make(input.replayer, replayRules, leftBy(input.before))

    if (exists) {
      /** Undefined: there is nothing to say, and nothing to replay. Most executions are that, and need no effect each. */
      const judgeOne = (execution: Execution): Effect.Effect<void> | undefined => {
        const { workflow, executionId, state } = execution
        seen.byState.set(state, (seen.byState.get(state) ?? 0) + 1)
        // A dead execution demands nothing: it does not go on.
        const rules = state === "dead" ? [poisoned] : [poisoned, ...executionRules]
        if (state !== "dead") {
          seen.byWorkflow.set(workflow, (seen.byWorkflow.get(workflow) ?? 0) + 1)
          const begun = seen.begun.get(workflow) ?? new Set()
          seen.begun.set(workflow, begun)
          for (const { name } of execution.activities) begun.add(declaredName(name))
        }
        const judged = rules.map((rule) => rule.judge(execution, candidate)).filter((each) => each !== fine)
        const declaration = candidate.declarations.get(workflow)
        const replayed = replay !== undefined && declaration !== undefined && state !== "dead"
        if (judged.length === 0 && !replayed) return undefined
        return Effect.gen(function* () {
          const problems = (yield* Effect.all(judged)).flat()
          for (const problem of problems) rows.add(problem, executionId, execution)
          // What the rows alone refuse would only be refused again, in other words.
          if (!replayed || problems.some(({ severity }) => severity !== "note")) return
          for (const problem of yield* replay.judge(execution, declaration)) rows.add(problem, executionId, execution)
        })
      }
      yield* Stream.runForEachChunk(work.executions, (chunk) => {
        const left: Array<Effect.Effect<void>> = []
        for (const execution of chunk) {
          const judged = judgeOne(execution)
          if (judged !== undefined) left.push(judged)
        }
        return Effect.all(left, { discard: true })
      })
      yield* Stream.runForEach(work.calls, (call) =>
        Effect.gen(function* () {
          seen.calls++
          for (const rule of callRules) {
            for (const problem of yield* rule.judge(call, candidate)) calls.add(problem, call.entityId)
          }
        })
      )
    }
    const results = new Tally()
    const asked = resultsToDecode(input)
    if (exists) {
      yield* Stream.runForEach(work.results(asked), (result) =>
        Effect.gen(function* () {
          seen.results++
          for (const rule of resultRules) {
            const judged = rule.judge(result, candidate)
            if (judged === fine) continue
            for (const problem of yield* judged) results.add(problem, result.executionId)
          }
        })
      )
    }
    const lived = new Map<string, Lived | undefined>()
    for (const workflow of rows.awaited) lived.set(workflow, yield* work.lived(workflow))
    const declared = [
      ...rows.findings("execution", lived, yield* Clock.currentTimeMillis),
      ...results.findings("finished execution"),
      ...calls.findings("call"),
      ...againstOthers(input, seen, [rows, results, calls])
    ]
    const findings = [
      ...declared.map(finding(input.place)),
      ...(input.others ?? []).flatMap(unknown),
      ...(replay?.findings() ?? []),
      ...(exists ? [] : [nothingHere])
    ]
    return {
      findings,
      checks: checksOf(input, seen, exists, replay, asked)
    }
  })

/**
 * The workflows whose finished results are decoded: those that a release before wrote in another form, as far as it is known.
 * Where a shape does not tell all (`via`, `undecided`) the rows are asked, too.
 */
const resultsToDecode = ({ before, declarations, surface }: Input): ReadonlyArray<string> => {
  const formOf = (of: Surface, name: string) => {
    const workflow = of.workflows[name]
    return workflow === undefined ? undefined : canonicalText([workflow.success, workflow.error])
  }
  return declarations
    .map(({ workflow }) => workflow.name)
    .filter((name) => {
      const own = formOf(surface, name)
      if (before === undefined || own === undefined || /"(via|undecided)":/.test(own)) return true
      return before.surfaces.some((each) => ![undefined, own].includes(formOf(each, name)))
    })
}

const nothingHere: Finding = {
  rule: "no-open-work",
  severity: "note",
  what: "The cluster's tables are not in this database: nothing was ever started here.",
  where: "schema cluster",
  why: "There is no open work that this release could strand.",
  fix: "Nothing, on a first release. Else check that this is the database you mean."
}

const checksOf = (
  input: Input,
  seen: Seen,
  exists: boolean,
  replay: Judge.Judge | undefined,
  asked: ReadonlyArray<string>
): ReadonlyArray<Check> => {
  const states = (["running", "suspended", "dead"] as const).map((state) => `${seen.byState.get(state) ?? 0} ${state}`)
  const total = [...seen.byState.values()].reduce((sum, each) => sum + each, 0)
  const alive = total - (seen.byState.get("dead") ?? 0)
  const workflows = [...seen.byWorkflow].map(([name, n]) => `${name} ${n}`).join(", ")
  const others = input.others
  return [
    {
      name: "open executions",
      result: !exists
        ? "none: no cluster tables"
        : total === 0
          ? "none"
          : `${total} (${states.join(", ")})${workflows === "" ? "" : `: ${workflows}`}`
    },
    ...executionRules.map(({ name, how }) => ({ name, result: `${how}, in ${count(alive, "execution")}` })),
    ...(replay?.checks(alive) ?? []),
    ...resultRules.map(({ name, how }) => ({
      name,
      result:
        asked.length === 0
          ? "no release that may have written one had another form: none decoded"
          : `${how}, ${seen.results} of ${asked.join(", ")}`
    })),
    ...callRules.map(({ name, how }) => ({ name, result: `${how}, in ${count(seen.calls, "waiting call")}` })),
    {
      name: "other releases",
      result:
        others === undefined
          ? "none: no release records yet"
          : others.length === 0
            ? "none"
            : `compared both ways with ${others.map(describe).join(", ")}`
    },
    {
      name: "this release",
      result: `${count(input.declarations.length, "workflow")}, ${count(input.entities.length, "entity", "entities")}, ${input.surface.sharding.shardsPerGroup} shards in each of ${input.surface.sharding.groups.join(", ")}`
    }
  ]
}
