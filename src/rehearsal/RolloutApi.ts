/**
 * What a rollout's last hook asks of Cloud Deploy and of the audit log, for a rehearsal that walks without `deliver serve`: who approved, which
 * images, and when each job ran. It is there to be read, and ends with the rehearsal.
 */
import { Clock, Effect, type Scope } from "effect"
import { PATH as ENTRIES, entryOf, hookEnvironment, questionOf } from "./api/AuditLog.ts"
import type { DriverFailed } from "./drivers/Driver.ts"
import { serve, text } from "./drivers/processes/LocalServer.ts"
import { fail, notFound } from "./engine/GoogleError.ts"
import type { RolloutEvent } from "./rollout/Rollout.ts"

export const PLACE = { project: "rehearsal", location: "laptop" } as const

export interface Told {
  readonly pipeline: string
  readonly release: string
  readonly rollout: string
  /** By name, as the release has them. */
  readonly images: Readonly<Record<string, string>>
  /** Undefined where the target asks for no approval. */
  readonly approvedAt: number | undefined
}

export interface RolloutApi {
  /** For hooks: where to ask, and with which token. */
  readonly env: Readonly<Record<string, string>>
  readonly begin: (rollout: Told) => Effect.Effect<{ readonly onEvent: (event: RolloutEvent) => Effect.Effect<void> }>
}

interface JobRun {
  readonly name: string
  readonly phaseId: string
  readonly jobId: string
  readonly startTime: string
  state: string
  endTime?: string
}

const at = (ms: number) => new Date(ms).toISOString()

/** `approver` is whoever runs the rehearsal: they are asked, or said yes beforehand. */
export const open = (address: string, approver: string): Effect.Effect<RolloutApi, DriverFailed, Scope.Scope> =>
  Effect.gen(function* () {
    const token = crypto.randomUUID()
    const resources = new Map<string, object>()
    const runs = new Map<string, Array<JobRun>>()
    const approvals = new Map<string, number>()

    const answer = (name: string): object | undefined => {
      const parent = name.endsWith("/jobRuns") ? name.slice(0, -"/jobRuns".length) : undefined
      return parent === undefined ? resources.get(name) : runs.has(parent) ? { jobRuns: runs.get(parent) } : undefined
    }
    const entries = (rollout: string) => {
      const approved = approvals.get(rollout)
      return approved === undefined ? [] : [entryOf({ rollout, approved: true, principal: approver, at: at(approved) })]
    }
    const host = yield* serve(address, async (request, url) => {
      const refused = ({ code, body }: { readonly code: number; readonly body: object }) => ({ status: code, body })
      if (request.headers.authorization !== `Bearer ${token}`) {
        return refused(fail("UNAUTHENTICATED", "Only hooks of the rehearsal are answered."))
      }
      if (request.method === "GET" && url.pathname.startsWith("/v1/")) {
        const name = url.pathname.slice("/v1/".length)
        const body = answer(name)
        return body === undefined ? refused(notFound(name)) : { status: 200, body }
      }
      if (request.method === "POST" && url.pathname === ENTRIES) {
        let body = ""
        for await (const chunk of request) body += chunk
        const question = questionOf((JSON.parse(body) as { readonly filter?: unknown }).filter)
        return question === undefined
          ? refused(fail("INVALID_ARGUMENT", "Only approvals are here."))
          : { status: 200, body: { entries: entries(question.rollout) } }
      }
      return text(404, `The rehearsal has no ${request.method} ${url.pathname}`)
    })

    return {
      env: hookEnvironment(`http://${host}`, token),
      begin: ({ pipeline, release, rollout, images, approvedAt }) =>
        Effect.gen(function* () {
          const started = yield* Clock.currentTimeMillis
          const parent = `projects/${PLACE.project}/locations/${PLACE.location}/deliveryPipelines/${pipeline}/releases/${release}`
          const name = `${parent}/rollouts/${rollout}`
          const artifacts = Object.entries(images).map(([image, tag]) => ({ image, tag }))
          resources.set(parent, { name: parent, buildArtifacts: artifacts })
          resources.set(name, {
            name,
            createTime: at(Math.min(started, approvedAt ?? started)),
            approvalState: approvedAt === undefined ? "DOES_NOT_NEED_APPROVAL" : "APPROVED",
            ...(approvedAt === undefined ? {} : { approveTime: at(approvedAt) })
          })
          if (approvedAt !== undefined) approvals.set(name, approvedAt)
          const jobRuns: Array<JobRun> = []
          runs.set(name, jobRuns)
          const runOf = (phaseId: string, jobId: string) =>
            jobRuns.find((run) => run.phaseId === phaseId && run.jobId === jobId)
          return {
            onEvent: (event: RolloutEvent) =>
              Effect.map(Clock.currentTimeMillis, (now) => {
                if (event._tag === "JobStarted") {
                  const { phaseId, kind: jobId } = event
                  const run = runOf(phaseId, jobId)
                  // A job of Cloud Deploy runs all hooks of its kind, one after the other.
                  if (run !== undefined) {
                    run.state = "IN_PROGRESS"
                    delete run.endTime
                  } else {
                    const id = `${name}/jobRuns/${jobRuns.length + 1}`
                    jobRuns.push({ name: id, phaseId, jobId, startTime: at(now), state: "IN_PROGRESS" })
                  }
                } else if (event._tag === "JobEnded") {
                  const run = runOf(event.run.phaseId, event.run.kind)
                  if (run !== undefined) Object.assign(run, { state: event.run.state, endTime: at(now) })
                }
              })
          }
        })
    }
  })
