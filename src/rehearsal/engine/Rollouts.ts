/**
 * What may be asked of releases and rollouts: each a transaction that changes resources, or a refusal in Google's words.
 *
 * None of them runs anything. The workflows of `Durable.ts` see the change and go on.
 */
import { Effect } from "effect"
import { type Intent, type PlannedRun, plannedRuns, runOf } from "./Automations.ts"
import { automation, type Caller } from "./Caller.ts"
import { fail, type GoogleError, notFound } from "./GoogleError.ts"
import { type Action, forbidden } from "./Policies.ts"
import {
  type Automation,
  type AutomationRun,
  type DeployPolicy,
  type JobRun,
  lastOf,
  locationOf,
  type Pipeline,
  parentOf,
  pipelineOf,
  type Release,
  type Rollout,
  releaseOf,
  type Target
} from "./Resources.ts"
import {
  advanceable,
  ENDED,
  ended,
  findJob,
  isOver,
  next,
  phasesOf,
  repaired,
  rollbackChoices,
  setJob,
  setPhase,
  stageOf
} from "./RolloutPlan.ts"
import { Store } from "./Store.ts"
import { type Done, due, promotions } from "./TimedPromotion.ts"

export interface NewRollout {
  readonly release: string
  readonly rolloutId: string
  readonly targetId: string
  readonly startingPhaseId?: string | undefined
  readonly description?: string | undefined
  readonly labels?: Readonly<Record<string, string>> | undefined
  readonly annotations?: Readonly<Record<string, string>> | undefined
  readonly rollbackOfRollout?: string | undefined
  readonly validateOnly?: boolean
}

/** What the workflow of a rollout does next. */
export interface Next {
  readonly tag: "Run" | "Wait" | "Done"
  readonly jobRun: string | null
}

const now = () => new Date().toISOString()

export class Rollouts extends Effect.Service<Rollouts>()("rehearsal/Rollouts", {
  effect: Effect.gen(function* () {
    const store = yield* Store

    const targetOf = (name: string, targetId: string) => store.get<Target>(`${locationOf(name)}/targets/${targetId}`)

    const permit = (name: string, targetId: string, action: Action, caller: Caller) =>
      Effect.gen(function* () {
        const policies = yield* store.list<DeployPolicy>("deployPolicies", locationOf(name))
        const violation = forbidden(policies, {
          pipeline: yield* store.get<Pipeline>(pipelineOf(name)),
          target: yield* targetOf(name, targetId),
          action,
          invoker: caller.invoker,
          at: new Date(),
          overridden: caller.overridden
        })
        if (violation !== undefined) {
          return yield* fail(
            "FAILED_PRECONDITION",
            `The deploy policy "${violation.policy}" (rule "${violation.rule}") does not let ${caller.invoker} do ${action} on target "${targetId}" now. Wait for its window to end, or name it in --override-deploy-policies.`
          )
        }
      })

    const rolloutsOf = (pipeline: string, targetId: string) =>
      Effect.map(store.list<Rollout>("rollouts", `${pipeline}/releases/-`), (all) =>
        all.filter((rollout) => rollout.targetId === targetId)
      )

    const create = (asked: NewRollout, caller: Caller): Effect.Effect<Rollout, GoogleError> =>
      Effect.gen(function* () {
        const release = yield* store.get<Release>(asked.release)
        const pipeline = yield* store.get<Pipeline>(pipelineOf(asked.release))
        const name = `${asked.release}/rollouts/${asked.rolloutId}`
        if ((yield* store.find(name)) !== undefined) {
          return yield* fail("ALREADY_EXISTS", `Rollout "${name}" is there already.`)
        }
        if (pipeline.suspended === true) {
          return yield* fail("FAILED_PRECONDITION", `Delivery pipeline "${lastOf(pipeline.name)}" is suspended.`)
        }
        if (release.abandoned === true) {
          return yield* fail("FAILED_PRECONDITION", `Release "${lastOf(release.name)}" is abandoned.`)
        }
        if (release.renderState !== "SUCCEEDED") {
          const renders = Object.values((release["targetRenders"] ?? {}) as Record<string, { failureMessage?: string }>)
          return yield* fail(
            "FAILED_PRECONDITION",
            `Release "${lastOf(release.name)}" could not be rendered: ${renders[0]?.failureMessage ?? "no reason is known"}`
          )
        }
        const stage = stageOf(release, asked.targetId)
        const target = release.targetSnapshots.find((one) => lastOf(one.name) === asked.targetId)
        if (stage === undefined || target === undefined) {
          return yield* fail(
            "INVALID_ARGUMENT",
            `Target "${asked.targetId}" is no stage of release "${lastOf(release.name)}". Its stages: ${release.targetSnapshots.map((one) => lastOf(one.name)).join(", ")}.`
          )
        }
        const earlier = yield* rolloutsOf(pipeline.name, asked.targetId)
        const first = !earlier.some(({ state }) => state === "SUCCEEDED")
        const phases = phasesOf(stage, { first, startingPhaseId: asked.startingPhaseId })
        if (asked.startingPhaseId !== undefined && !phases.some(({ id }) => id === asked.startingPhaseId)) {
          return yield* fail(
            "INVALID_ARGUMENT",
            `There is no phase "${asked.startingPhaseId}". There are: ${phases.map(({ id }) => id).join(", ")}.`
          )
        }
        yield* permit(name, asked.targetId, asked.rollbackOfRollout === undefined ? "CREATE" : "ROLLBACK", caller)
        const rollout: Rollout = {
          name,
          targetId: asked.targetId,
          ...(asked.description === undefined ? {} : { description: asked.description }),
          ...(asked.labels === undefined ? {} : { labels: asked.labels }),
          ...(asked.annotations === undefined ? {} : { annotations: asked.annotations }),
          ...(asked.rollbackOfRollout === undefined ? {} : { rollbackOfRollout: asked.rollbackOfRollout }),
          state: target.requireApproval === true ? "PENDING_APPROVAL" : "PENDING",
          approvalState: target.requireApproval === true ? "NEEDS_APPROVAL" : "DOES_NOT_NEED_APPROVAL",
          enqueueTime: now(),
          phases
        }
        return asked.validateOnly === true ? rollout : yield* store.put(rollout)
      })

    /** The release that was last good on a target, other than the one of the newest rollout. */
    const lastGood = (pipeline: string, targetId: string) =>
      Effect.map(rolloutsOf(pipeline, targetId), (all) => {
        const [release] = rollbackChoices(all)
        const newest = all.at(-1)
        return release === undefined || newest === undefined ? undefined : { release, newest }
      })

    const change = (
      name: string,
      action: Action,
      caller: Caller,
      f: (rollout: Rollout) => Effect.Effect<Rollout, GoogleError>
    ) =>
      store.transaction(
        Effect.gen(function* () {
          const rollout = yield* store.get<Rollout>(name)
          yield* permit(name, rollout.targetId, action, caller)
          return yield* Effect.flatMap(f(rollout), store.put)
        })
      )

    const refuse = (rollout: Rollout, what: string, needs: string) =>
      fail("FAILED_PRECONDITION", `Rollout "${lastOf(rollout.name)}" is ${rollout.state}; ${what} needs ${needs}.`)

    const failedJob = (rollout: Rollout, phaseId: string, jobId: string, what: string) => {
      const job = findJob(rollout, phaseId, jobId)
      if (job === undefined) return notFound(`${rollout.name} phase ${phaseId} job ${jobId}`)
      return job.state === "FAILED" || job.state === "ABORTED"
        ? Effect.succeed(job)
        : fail(
            "FAILED_PRECONDITION",
            `Job "${jobId}" of phase "${phaseId}" is ${job.state}; ${what} needs one that failed.`
          )
    }

    const terminate = (name: string) =>
      Effect.gen(function* () {
        const run = yield* store.get<JobRun>(name)
        if (run.state !== "IN_PROGRESS") return run
        return yield* store.put<JobRun>({ ...run, state: "TERMINATING" })
      })

    const cancelIn = (rollout: Rollout) =>
      Effect.gen(function* () {
        if (isOver(rollout)) return yield* refuse(rollout, "cancelling", "one that is not over")
        for (const run of yield* store.list<JobRun>("jobRuns", rollout.name)) {
          if (run.state === "IN_PROGRESS") yield* terminate(run.name)
        }
        return { ...rollout, state: "CANCELLING" as const }
      })

    const retryIn = (rollout: Rollout, phaseId: string, jobId: string) =>
      Effect.gen(function* () {
        yield* failedJob(rollout, phaseId, jobId, "a retry")
        if (rollout.state !== "FAILED") return yield* refuse(rollout, "a retry", "a FAILED one")
        return repaired(rollout, phaseId, jobId, "PENDING")
      })

    const advanceIn = (rollout: Rollout, phaseId: string) => {
      const phase = advanceable(rollout)
      if (phase === undefined) return refuse(rollout, "advancing", "one that waits between two phases")
      return phase.id === phaseId
        ? Effect.succeed(setPhase(rollout, phaseId, { state: "IN_PROGRESS" }))
        : fail("FAILED_PRECONDITION", `The next phase is "${phase.id}", not "${phaseId}".`)
    }

    const failuresOf = (rollout: string) =>
      Effect.map(store.list<JobRun>("jobRuns", rollout), (runs) => runs.filter(({ state }) => state === "FAILED"))

    /** Makes the run of an automation, once. */
    const begin = (pipeline: string, rollout: Rollout, planned: PlannedRun) =>
      Effect.gen(function* () {
        const run = runOf(pipeline, rollout, planned, Date.now())
        if ((yield* store.find(run.name)) === undefined) yield* store.put(run)
      })

    const planAutomations = (rollout: Rollout) =>
      Effect.gen(function* () {
        const pipeline = pipelineOf(rollout.name)
        const automations = yield* store.list<Automation>("automations", pipeline)
        if (automations.length === 0) return
        const release = yield* store.get<Release>(releaseOf(rollout.name))
        const runs = plannedRuns(
          automations,
          rollout,
          yield* targetOf(rollout.name, rollout.targetId),
          release.deliveryPipelineSnapshot.serialPipeline?.stages ?? [],
          yield* failuresOf(rollout.name)
        )
        for (const planned of runs) yield* begin(pipeline, rollout, planned)
      })

    /** Whether it may work on its target: the one that does, or, where none does, the first that waits to. */
    const mayWork = (rollout: Rollout) =>
      Effect.gen(function* () {
        const target = `${locationOf(rollout.name)}/targets/${rollout.targetId}`
        const holder = yield* store.holder(target)
        if (holder !== undefined || rollout.state !== "PENDING") return holder === undefined || holder === rollout.name
        const waiting = (yield* store.open("rollouts", ENDED)).map(({ resource }) => resource as Rollout)
        const first = waiting.find(
          ({ name, state, targetId }) =>
            state === "PENDING" && targetId === rollout.targetId && locationOf(name) === locationOf(rollout.name)
        )
        return first === undefined || first.name === rollout.name
      })

    return {
      lastGood,
      mayWork,
      targetOf,
      create: (asked: NewRollout, caller: Caller) => store.transaction(create(asked, caller)),
      rollback: (
        pipeline: string,
        targetId: string,
        options: {
          readonly rolloutId: string
          readonly releaseId?: string | undefined
          readonly startingPhaseId?: string | undefined
          /** Why. Without it the description names the release that is left. */
          readonly description?: string | undefined
          readonly validateOnly?: boolean
        },
        caller: Caller
      ) =>
        store.transaction(
          Effect.gen(function* () {
            const good = yield* lastGood(pipeline, targetId)
            const release =
              options.releaseId === undefined ? good?.release : `${pipeline}/releases/${options.releaseId}`
            if (release === undefined) {
              return yield* fail(
                "FAILED_PRECONDITION",
                `Target "${targetId}" has no earlier release that succeeded there.`
              )
            }
            return yield* create(
              {
                release,
                rolloutId: options.rolloutId,
                targetId,
                startingPhaseId: options.startingPhaseId ?? "stable",
                rollbackOfRollout: good?.newest.name ?? release,
                description:
                  options.description ??
                  `Rollback from ${good === undefined ? "an unknown release" : lastOf(releaseOf(good.newest.name))}`,
                validateOnly: options.validateOnly === true
              },
              caller
            )
          })
        ),
      approve: (name: string, approved: boolean, caller: Caller) =>
        change(name, "APPROVE", caller, (rollout) =>
          rollout.state !== "PENDING_APPROVAL"
            ? refuse(rollout, approved ? "approving" : "rejecting", "PENDING_APPROVAL")
            : Effect.as(store.approval(name, approved, caller.principal), {
                ...rollout,
                approveTime: now(),
                ...(approved
                  ? { approvalState: "APPROVED" as const, state: "PENDING" as const }
                  : { approvalState: "REJECTED" as const, state: "APPROVAL_REJECTED" as const })
              })
        ),
      advance: (name: string, phaseId: string, caller: Caller) =>
        change(name, "ADVANCE", caller, (rollout) => advanceIn(rollout, phaseId)),
      cancel: (name: string, caller: Caller) => change(name, "CANCEL", caller, cancelIn),
      retryJob: (name: string, phaseId: string, jobId: string, caller: Caller) =>
        change(name, "RETRY_JOB", caller, (rollout) => retryIn(rollout, phaseId, jobId)),
      ignoreJob: (name: string, phaseId: string, jobId: string, caller: Caller) =>
        change(name, "IGNORE_JOB", caller, (rollout) =>
          Effect.map(failedJob(rollout, phaseId, jobId, "ignoring"), () => repaired(rollout, phaseId, jobId, "IGNORED"))
        ),
      terminate: (name: string, caller: Caller) =>
        store.transaction(
          Effect.gen(function* () {
            const rollout = yield* store.get<Rollout>(parentOf(name))
            yield* permit(name, rollout.targetId, "TERMINATE_JOBRUN", caller)
            const run = yield* store.get<JobRun>(name)
            if (run.state !== "IN_PROGRESS") {
              return yield* fail("FAILED_PRECONDITION", `Job run "${lastOf(name)}" is ${run.state}, not IN_PROGRESS.`)
            }
            yield* terminate(name)
          })
        ),

      /** The workflow's question: what now? The answer is part of the resources when it is given. */
      step: (name: string, number: number): Effect.Effect<Next, GoogleError> =>
        store.transaction(
          Effect.gen(function* () {
            const rollout = yield* store.get<Rollout>(name)
            const target = `${locationOf(name)}/targets/${rollout.targetId}`
            const step = next(rollout, yield* mayWork(rollout), now())
            let after = step.rollout
            let jobRun: string | null = null
            if (step._tag === "Run") {
              jobRun = step.begin ? `${name}/jobRuns/${crypto.randomUUID()}` : step.job.jobRun!
              if (step.begin) {
                yield* store.put<JobRun>({
                  name: jobRun,
                  phaseId: step.phase.id,
                  jobId: step.job.id,
                  state: "IN_PROGRESS",
                  startTime: now(),
                  [`${step.job.id}JobRun`]: {}
                })
                after = setJob(after, step.phase.id, step.job.id, { state: "IN_PROGRESS", jobRun })
              }
            }
            if (after.state === "IN_PROGRESS") yield* store.lease(target, name)
            else yield* store.release(name)
            const kept = yield* store.put(after, { wait: step._tag === "Wait" ? number : null })
            yield* planAutomations(kept)
            return { tag: step._tag, jobRun }
          })
        ),

      /** The workflow's report: a run of a job has ended. */
      finish: (
        jobRunName: string,
        state: "SUCCEEDED" | "FAILED" | "TERMINATED",
        reason: string,
        log: ReadonlyArray<string>
      ) =>
        store.transaction(
          Effect.gen(function* () {
            const run = yield* store.get<JobRun>(jobRunName)
            if (run.endTime !== undefined) return
            const at = now()
            const failure = state === "FAILED" ? { failureCause: "EXECUTION_FAILED", failureMessage: reason } : {}
            yield* store.put<JobRun>({ ...run, state, endTime: at, [`${run.jobId}JobRun`]: failure })
            yield* store.keepLog(jobRunName, log)
            const rollout = yield* store.get<Rollout>(parentOf(jobRunName))
            yield* store.put(ended(rollout, run.phaseId, run.jobId, state, reason, at))
          })
        ),

      /** Promotions whose time has come by the schedules' clock. Each moment of a schedule is looked at once, whatever it found. */
      timed: (clockScale: number) =>
        Effect.gen(function* () {
          for (const automation of yield* store.timedAutomations) {
            if (automation.suspended === true) continue
            for (const { timedPromoteReleaseRule: rule } of automation.rules ?? []) {
              if (rule === undefined) continue
              const key = `timed/${automation.name}/${rule.id}`
              const origin = automation.updateTime ?? ""
              const at = due(rule, origin, yield* store.remembered<Done>(key), Date.now(), clockScale)
              if (at === undefined) continue
              yield* store.transaction(
                Effect.gen(function* () {
                  const pipeline = yield* store.get<Pipeline>(pipelineOf(automation.name))
                  const planned = promotions(
                    automation,
                    rule,
                    at,
                    yield* store.list<Target>("targets", locationOf(automation.name)),
                    pipeline.serialPipeline?.stages ?? [],
                    yield* store.list<Rollout>("rollouts", `${pipeline.name}/releases/-`)
                  )
                  for (const run of planned) yield* begin(pipeline.name, run.source, run)
                  yield* store.remember<Done>(key, { origin, at })
                })
              )
            }
          }
        }),

      /** What an automation run intends, done once. A refusal is its outcome. */
      act: (name: string) =>
        Effect.gen(function* () {
          const attempt = Effect.gen(function* () {
            const run = yield* store.get<AutomationRun>(name)
            const rolloutName = String(run["rollout"])
            const rollout = yield* store.get<Rollout>(rolloutName)
            const intent = run["intent"] as Intent
            const release = releaseOf(rolloutName)
            const pipeline = pipelineOf(rolloutName)
            const put = (f: Effect.Effect<Rollout, GoogleError>, action: Action) =>
              permit(rolloutName, rollout.targetId, action, automation).pipe(
                Effect.zipRight(f),
                Effect.flatMap((changed) => store.put(changed))
              )
            const rolloutId = (targetId: string) => `${lastOf(release)}-to-${targetId}-${run.uid?.slice(0, 8)}`
            switch (intent._tag) {
              case "Promote":
                return yield* create(
                  {
                    release,
                    rolloutId: rolloutId(intent.targetId),
                    targetId: intent.targetId,
                    startingPhaseId: intent.phase
                  },
                  automation
                )
              case "Advance":
                return yield* put(advanceIn(rollout, intent.phase), "ADVANCE")
              case "Retry":
                return yield* put(retryIn(rollout, intent.phase, intent.job), "RETRY_JOB")
              case "Rollback": {
                const all = yield* rolloutsOf(pipeline, rollout.targetId)
                if (
                  intent.unlessPending &&
                  all.some(({ state }) => state === "PENDING" || state === "PENDING_APPROVAL")
                ) {
                  return yield* fail("FAILED_PRECONDITION", "Another rollout to this target is pending.")
                }
                const good = yield* lastGood(pipeline, rollout.targetId)
                if (good === undefined) {
                  return yield* fail("FAILED_PRECONDITION", "No earlier release succeeded on this target.")
                }
                return yield* create(
                  {
                    release: good.release,
                    rolloutId: `rollback-${run.uid?.slice(0, 8)}`,
                    targetId: rollout.targetId,
                    startingPhaseId: intent.phase ?? "stable",
                    rollbackOfRollout: rolloutName,
                    description: `Rollback of ${lastOf(rolloutName)} by automation ${run.automationId}`
                  },
                  automation
                )
              }
            }
          })
          const end = (state: AutomationRun["state"], stateDescription: string) =>
            Effect.flatMap(store.get<AutomationRun>(name), (run) => store.put({ ...run, state, stateDescription }))
          const settled = Effect.map(
            store.get<AutomationRun>(name),
            ({ state }) => !["PENDING", "IN_PROGRESS"].includes(state)
          )
          yield* store
            .transaction(
              Effect.gen(function* () {
                if (yield* settled) return
                yield* attempt
                yield* end("SUCCEEDED", "")
              })
            )
            .pipe(
              Effect.catchIf(
                (error) => error.status !== "INTERNAL",
                (error) => Effect.asVoid(store.transaction(end("FAILED", error.message)))
              )
            )
        })
    }
  })
}) {}
