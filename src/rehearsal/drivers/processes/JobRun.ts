/** Runs a Job's pod to its end, as Skaffold does for hooks and verify tests: one pod, the first failure counts, the log is kept. */
import { Deferred, Effect, type Either, Schedule } from "effect"
import { DriverFailed, type JobOptions, type JobOutcome, type KubeObject, type ManifestRefused } from "../Driver.ts"
import type { Admitted } from "./Admission.ts"
import type { RunningPod } from "./Pod.ts"
import type { CreatePod } from "./ProcessCluster.ts"
import { revisionOf } from "./Revision.ts"
import { suffix } from "./Workloads.ts"

const MAX_LINES = 10_000

export interface JobHost {
  readonly namespace: string
  readonly admit: (objects: ReadonlyArray<KubeObject>) => Either.Either<ReadonlyArray<Admitted>, ManifestRefused>
  readonly create: (pod: CreatePod) => Either.Either<RunningPod & { readonly done: Effect.Effect<number> }, string>
  readonly fork: (effect: Effect.Effect<unknown>) => unknown
}

export const runJob = (
  raw: KubeObject,
  options: JobOptions,
  host: JobHost
): Effect.Effect<JobOutcome, ManifestRefused | DriverFailed> =>
  Effect.gen(function* () {
    const [admitted] = yield* host.admit([raw])
    if (admitted?.object.kind !== "Job") {
      return yield* new DriverFailed({ message: `runJob was given a ${raw.kind}; it runs objects of kind Job.` })
    }
    const job = admitted.object
    const log: Array<string> = []
    const begun = Date.now()
    const pod = yield* host
      .create({
        name: `${job.metadata.name}-${suffix()}`,
        owner: `Job/${job.metadata.name}`,
        revision: revisionOf(job.spec.template),
        template: job.spec.template,
        stable: false,
        subdomain: undefined,
        restart: false,
        env: options.env,
        onLine: (_container, line) => {
          log.push(line)
          if (log.length > MAX_LINES) log.shift()
          options.onLine?.(line)
        }
      })
      .pipe(Effect.mapError((message) => new DriverFailed({ message: `Job/${job.metadata.name}: ${message}` })))
    const exit = yield* Deferred.make<number>()
    host.fork(Effect.onExit(pod.done, (result) => Deferred.done(exit, result)))

    const seconds = [job.spec.activeDeadlineSeconds, job.spec.template.spec.activeDeadlineSeconds]
    const limitMs = Math.min(
      options.timeoutMs,
      ...seconds.flatMap((value) => (value === undefined ? [] : [value * 1000]))
    )
    const imageMissing = Effect.suspend(() => {
      const waiting = pod.record.waiting
      return waiting?.reason === "ImagePullBackOff"
        ? new DriverFailed({
            message: `Job/${job.metadata.name} can't get its image (ImagePullBackOff): ${waiting.message}`
          })
        : Effect.void
    }).pipe(Effect.repeat(Schedule.spaced(50)), Effect.zipRight(Effect.never))

    const ended = yield* Deferred.await(exit).pipe(
      Effect.raceFirst(imageMissing),
      Effect.timeoutOption(limitMs),
      // Cancelled, or the image is missing: nothing of the Job stays.
      Effect.onError(() => pod.stop(0))
    )
    const timedOut = ended._tag === "None"
    if (timedOut) {
      yield* pod.stop()
      yield* Deferred.await(exit)
      const waiting = pod.record.waiting
      log.push(
        `rehearsal: Job/${job.metadata.name} was ended after ${limitMs / 1000} s${waiting ? `, waiting: ${waiting.reason}: ${waiting.message}` : ""}`
      )
    }
    return {
      exitCode: ended._tag === "Some" ? ended.value : 124,
      durationMs: Date.now() - begun,
      log,
      timedOut
    }
  })
