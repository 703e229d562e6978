/**
 * What can be told about an older release without its image: from the surface that it recorded here.
 *
 * Names and shapes against what is open, and its statements against the schema as it is. Decoding and replaying take the
 * older code; the rollback's own rollout does that with the older image before it changes anything.
 */
import type { SqlClient, SqlError } from "@effect/sql"
import { Effect, Either, Stream } from "effect"
import { compare } from "../../surface/Compare.ts"
import { declaredName } from "../../surface/Declared.ts"
import * as Surface from "../../surface/Surface.ts"
import { Database, type DatabaseUnavailable, type StatementFailed } from "../Database.ts"
import * as Evidence from "../Evidence.ts"
import * as Proof from "../migrations/Proof.ts"
import type { ReleaseRecord } from "../Releases.ts"
import { OpenWork, type OpenWorkUnreadable } from "../workflows/OpenWork.ts"
import { describe, type OtherRelease, read as readOthers, runsBeside } from "../workflows/OtherReleases.ts"

type Failure = OpenWorkUnreadable | SqlError.SqlError

interface Open {
  readonly executions: number
  readonly byWorkflow: ReadonlyMap<string, number>
  readonly begun: ReadonlyMap<string, ReadonlySet<string>>
}

const readOpen = Effect.gen(function* () {
  const work = yield* OpenWork
  const byWorkflow = new Map<string, number>()
  const begun = new Map<string, Set<string>>()
  let executions = 0
  if (yield* work.exists) {
    yield* Stream.runForEach(work.executions, ({ workflow, state, activities }) =>
      Effect.sync(() => {
        if (state === "dead") return
        executions++
        byWorkflow.set(workflow, (byWorkflow.get(workflow) ?? 0) + 1)
        const names = begun.get(workflow) ?? new Set()
        begun.set(workflow, names)
        for (const { name } of activities) names.add(declaredName(name))
      })
    )
  }
  return { executions, byWorkflow, begun } satisfies Open
})

const gone = (surface: Surface.Surface, open: Open): ReadonlyArray<Evidence.Finding> =>
  [...open.byWorkflow].flatMap(([workflow, count]): ReadonlyArray<Evidence.Finding> => {
    const known = surface.workflows[workflow]
    const finding = (rule: string, what: string, where: string): Evidence.Finding => ({
      rule,
      severity: "hazard",
      what,
      where,
      why: "A runner that does not know it answers it with a permanent failure in the end.",
      fix: "Wait until these executions have ended, or go back to a release that carries them."
    })
    if (known === undefined) {
      return [
        finding("workflow-gone", `${count} open executions of ${workflow}, which that release does not have.`, workflow)
      ]
    }
    return [...(open.begun.get(workflow) ?? [])]
      .filter((name) => known.activities[name] === undefined && !/^(DurableClock|raceAll)\//.test(name))
      .map((name) =>
        finding(
          "activity-gone",
          `Open executions of ${workflow} are past activity ${name}, which that release does not have.`,
          `${workflow} / activity ${name}`
        )
      )
  })

const SEVERITY = { refuse: "hazard", undecided: "undecided", note: "note" } as const

const against = (surface: Surface.Surface, others: ReadonlyArray<OtherRelease>, open: Open) =>
  others.flatMap((other): ReadonlyArray<Evidence.Finding> => {
    const read = other.surface
    if (read === undefined || Either.isLeft(read)) {
      return [
        {
          rule: read === undefined ? "release-unknown" : "surface-unreadable",
          severity: runsBeside(other) ? "undecided" : "note",
          what: `What ${describe(other)} writes can't be told.`,
          where: "agents.releases",
          why: "The older release must be able to read it.",
          fix: "Record that release again with its own image.",
          ...(read === undefined ? {} : { detail: read.left.message })
        }
      ]
    }
    // What runs now is what wrote; the older release is the one that must read it.
    return compare(read.right, surface, {
      open: (workflow) => (open.byWorkflow.get(workflow) ?? 0) > 0,
      begun: (workflow, activity) => open.begun.get(workflow)?.has(activity) === true,
      sideBySide: runsBeside(other)
    }).map(({ rule, verdict, what, why, fix, name }) => ({
      rule,
      severity: SEVERITY[verdict],
      what,
      where: `${name}, against release ${describe(other)}`,
      why,
      fix
    }))
  })

/** Told once, however many releases share it. */
const distinct = (findings: ReadonlyArray<Evidence.Finding>) => [
  ...new Map(findings.map((finding) => [`${finding.rule} ${finding.what}`, finding])).values()
]

export const workflows = (
  record: ReleaseRecord
): Effect.Effect<Evidence.Evidence, Failure, OpenWork | SqlClient.SqlClient> =>
  Effect.gen(function* () {
    const startedAt = new Date()
    const { others = [] } = yield* readOthers(record.release)
    const open = yield* readOpen
    const surface = yield* Effect.either(Surface.read(record.surface, `the surface of release ${record.release}`))
    const findings: ReadonlyArray<Evidence.Finding> = Either.isLeft(surface)
      ? [
          {
            rule: "surface-unreadable",
            severity: "undecided",
            what: "The surface that the release recorded can't be read.",
            where: `agents.releases, ${record.release}`,
            why: "What it carries is not known.",
            fix: 'Run "deliver gate workflows" with that release\'s own image.',
            detail: surface.left.message
          }
        ]
      : distinct([...gone(surface.right, open), ...against(surface.right, others, open)])
    return yield* Evidence.make({
      gate: "rollback workflows",
      release: record.release,
      summary: (verdict) =>
        verdict === "passed"
          ? `By names and shapes it carries the ${open.executions} open executions.`
          : `By names and shapes it does not carry all of the ${open.executions} open executions.`,
      checks: [
        { name: "open executions", result: String(open.executions) },
        { name: "other releases", result: others.map(describe).join(", ") || "none" },
        {
          name: "decode and replay",
          result: "not here: they take the older image. Its own gate runs them before the rollback changes anything"
        }
      ],
      findings,
      startedAt
    })
  })

/** Do the statements that the release recorded work with the schema as it is? Prepared and planned, not run. */
export const statements = (
  record: ReleaseRecord,
  texts: ReadonlyArray<{ readonly name: string; readonly text: string }>
): Effect.Effect<Evidence.Evidence, StatementFailed | DatabaseUnavailable, Database> =>
  Effect.gen(function* () {
    const startedAt = new Date()
    const session = yield* Effect.flatMap(Database, ({ session }) => session)
    const { demands, unprovable } = Proof.demands([
      { release: record.release, standing: record.state, statements: texts.map(({ name, text }) => ({ name, text })) }
    ])
    const broken = yield* session
      .script("begin")
      .pipe(Effect.zipRight(Proof.prove(session, demands)), Effect.ensuring(Effect.ignore(session.script("rollback"))))
    // A reader plans no insert: what it may not do says nothing about the schema.
    const about = broken.filter(({ by }) => by !== "rights")
    return yield* Evidence.make({
      gate: "rollback migrations",
      release: record.release,
      summary: (verdict) =>
        verdict === "passed" ? "Its statements work with the schema as it is." : "The schema took away what it needs.",
      checks: [
        {
          name: "statements",
          result: `${demands.length - broken.length + about.length} prepared and planned, ${broken.length - about.length} that this role may not plan${unprovable === 0 ? "" : `, ${unprovable} of a kind that can't be prepared`}`
        },
        { name: "migrations", result: "none: an older image applies nothing" }
      ],
      findings: about.map((one) => Proof.findingOf(one, undefined, record.release)),
      startedAt
    })
  }).pipe(Effect.scoped)
