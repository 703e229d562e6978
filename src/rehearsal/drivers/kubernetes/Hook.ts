/**
 * Runs a Job of the cluster to its end, as Skaffold does for hooks and verify tests, and keeps its log before the Job is deleted.
 *
 * Each run has a name of its own: Skaffold's fixed names let two pipelines of one namespace delete each other's Jobs.
 */
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Effect, Fiber, Schedule } from "effect"
import { DriverFailed, type JobOptions, type JobOutcome, type KubeObject, type ManifestRefused } from "../Driver.ts"
import type { Api, ApiError } from "./Api.ts"
import { explain } from "./Explain.ts"
import { itemsOf, type Json, type Pod } from "./Json.ts"

const MAX_LINES = 10_000
const LOOK = "500 millis"
/** The cluster's own deadline lies behind ours: when it ends a Job its pods are deleted, and their logs with them. */
const CLUSTER_DEADLINE_MARGIN_S = 30
const TIMED_OUT = 124
/** Asked for its log, a pod that the node has just lost may take long to answer nothing. */
const LOG_TIMEOUT = "15 seconds"

export const HOOK_LABEL = "deliver.rehearsal/hook"

type Container = Json & { readonly env?: ReadonlyArray<{ readonly name: string }> }
interface JobSpec extends Json {
  readonly activeDeadlineSeconds?: number
  readonly template: Json & {
    readonly metadata?: Json & { readonly labels?: Readonly<Record<string, string>> }
    readonly spec: Json & { readonly containers: ReadonlyArray<Container>; readonly activeDeadlineSeconds?: number }
  }
}

const withEnv = (container: Container, env: Readonly<Record<string, string>>): Container => ({
  ...container,
  env: [
    ...(container.env ?? []).filter(({ name }) => !Object.hasOwn(env, name)),
    ...Object.entries(env).map(([name, value]) => ({ name, value }))
  ]
})

/** Pure: the Job as it is created. */
export const jobOf = (
  job: KubeObject,
  options: { readonly name: string; readonly env: Readonly<Record<string, string>>; readonly limitMs: number }
): KubeObject => {
  const spec = job["spec"] as JobSpec
  const labels = { [HOOK_LABEL]: job.metadata.name }
  return {
    ...job,
    metadata: { ...job.metadata, name: options.name, labels: { ...job.metadata.labels, ...labels } },
    spec: {
      ...spec,
      backoffLimit: 0,
      activeDeadlineSeconds: Math.ceil(options.limitMs / 1000) + CLUSTER_DEADLINE_MARGIN_S,
      template: {
        ...spec.template,
        metadata: { ...spec.template.metadata, labels: { ...spec.template.metadata?.labels, ...labels } },
        spec: {
          ...spec.template.spec,
          restartPolicy: "Never",
          containers: spec.template.spec.containers.map((container) => withEnv(container, options.env))
        }
      }
    }
  }
}

export const limitOf = (job: KubeObject, timeoutMs: number): number => {
  const spec = job["spec"] as JobSpec
  const seconds = [spec.activeDeadlineSeconds, spec.template.spec.activeDeadlineSeconds]
  return Math.min(timeoutMs, ...seconds.flatMap((value) => (value === undefined ? [] : [value * 1000])))
}

interface Ended {
  readonly exitCode: number
  readonly notes: ReadonlyArray<string>
  readonly lastWords?: string
}

/** How the pod ended, or undefined while it has not. Pure. */
export const endOf = (pod: Pod): Ended | undefined => {
  const ended = (pod.status?.containerStatuses ?? []).map(({ state }) => state?.terminated)
  const phase = pod.status?.phase
  if (phase !== "Succeeded" && phase !== "Failed") return undefined
  const worst = Math.max(0, ...ended.map((state) => state?.exitCode ?? 0))
  const reason = pod.status?.reason
  const lastWords = ended.findLast((state) => state?.message !== undefined)?.message
  return {
    ...(lastWords === undefined ? {} : { lastWords }),
    exitCode: worst > 0 || phase === "Succeeded" ? worst : 1,
    notes: [
      ...(reason === undefined ? [] : [`rehearsal: the pod ended as ${reason}: ${pod.status?.message ?? ""}`]),
      ...ended.flatMap((state) =>
        state?.reason === "OOMKilled" ? ["rehearsal: OOMKilled, its memory limit was reached"] : []
      )
    ]
  }
}

const imageProblem = (pod: Pod): string | undefined => {
  for (const { state } of [...(pod.status?.initContainerStatuses ?? []), ...(pod.status?.containerStatuses ?? [])]) {
    const waiting = state?.waiting
    if (waiting?.reason === "ImagePullBackOff" || waiting?.reason === "InvalidImageName") {
      return `${waiting.reason}: ${waiting.message ?? ""}`
    }
  }
  return undefined
}

/** The pod of an event of a watch, whether it was added, changed or deleted. Pure. */
const podIn = (line: string): Pod | undefined => {
  const { type, object } = JSON.parse(line) as { readonly type: string; readonly object: Pod }
  return type === "ERROR" || type === "BOOKMARK" ? undefined : object
}

export interface HookHost {
  readonly api: Api
  readonly namespace: string
  readonly logFolder: string
}

const suffix = () => Math.random().toString(36).slice(2, 8).padEnd(6, "0")

export const run = (
  raw: KubeObject,
  options: JobOptions,
  { api, namespace, logFolder }: HookHost
): Effect.Effect<JobOutcome, ManifestRefused | DriverFailed> =>
  Effect.gen(function* () {
    if (raw.kind !== "Job") {
      return yield* new DriverFailed({ message: `runJob was given a ${raw.kind}; it runs objects of kind Job.` })
    }
    const title = `Job/${raw.metadata.name}`
    const limitMs = limitOf(raw, options.timeoutMs)
    const job = jobOf(raw, { name: `${raw.metadata.name.slice(0, 50)}-${suffix()}`, env: options.env, limitMs })
    const name = job.metadata.name
    const jobs = `/apis/batch/v1/namespaces/${namespace}/jobs`
    const pods = `/api/v1/namespaces/${namespace}/pods`
    const broken = (error: ApiError) =>
      new DriverFailed({ message: `${title}: the cluster of context "${api.context}" failed: ${error.message}` })

    const log: Array<string> = []
    const keep = (line: string) => {
      log.push(line)
      if (log.length > MAX_LINES) log.shift()
      options.onLine?.(line)
    }
    const begun = Date.now()
    const itsPods = { labelSelector: `batch.kubernetes.io/job-name=${name}` }
    const podOf = api.call(pods, { query: itsPods }).pipe(Effect.map((list) => itemsOf<Pod>(list).at(-1)))
    let seen: Pod | undefined
    /** An end is final: a look that was answered late does not take it back. */
    const see = (pod: Pod | undefined) => {
      if (pod !== undefined && (seen === undefined || endOf(seen) === undefined)) seen = pod
    }
    // A pod that somebody deletes ends and is gone between two looks. A watch is told both, in that order.
    const watch = api
      .lines(pods, { ...itsPods, watch: "true" }, (line) => see(podIn(line)))
      // The server ends every watch after some minutes.
      .pipe(Effect.ignore, Effect.repeat(Schedule.spaced(LOOK)))

    const follow = (pod: string) =>
      api.lines(`${pods}/${pod}/log`, { follow: "true" }, keep).pipe(
        // The container has not started yet, or the stream broke: what is missing is read once more at the end.
        Effect.ignore
      )

    const wait = Effect.gen(function* () {
      let reader: Fiber.RuntimeFiber<void> | undefined
      const readToEnd = Effect.suspend(() =>
        reader === undefined ? Effect.void : Fiber.join(reader).pipe(Effect.timeoutOption(LOG_TIMEOUT))
      )
      while (true) {
        const pod = yield* podOf
        see(pod)
        if (pod !== undefined) {
          const running = pod.status?.containerStatuses?.some(({ state }) => state?.running !== undefined)
          if (reader === undefined && running === true) reader = yield* Effect.fork(follow(pod.metadata.name))
          const ended = endOf(pod)
          if (ended !== undefined) {
            yield* readToEnd
            return ended
          }
          const problem = imageProblem(pod)
          if (problem !== undefined) {
            return yield* new DriverFailed({ message: `${title} can't get its image: ${problem}` })
          }
        } else {
          const ended = seen === undefined ? undefined : endOf(seen)
          if (ended !== undefined) {
            yield* readToEnd
            return ended
          }
          const status = (yield* api.call(`${jobs}/${name}`))["status"] as
            | { readonly conditions?: ReadonlyArray<{ readonly type: string; readonly message?: string }> }
            | undefined
          const failed = status?.conditions?.find(({ type }) => type === "Failed")
          if (failed !== undefined) {
            // Deleted by force, or with its node: nothing was told of its end.
            yield* readToEnd
            return { exitCode: 1, notes: [`rehearsal: ${failed.message ?? "the Job failed"}`] }
          }
        }
        yield* Effect.sleep(LOOK)
      }
    }).pipe(Effect.catchTag("ApiError", broken))

    /** The whole log as the kubelet has it: a stream may have broken off, or begun after the end of a short container. */
    const wholeLog = Effect.suspend(() =>
      seen === undefined
        ? Effect.succeed("")
        : api.text(`${pods}/${seen.metadata.name}/log`, { tailLines: String(MAX_LINES) })
    ).pipe(
      Effect.timeout(LOG_TIMEOUT),
      Effect.orElseSucceed(() => "")
    )
    const collect = Effect.map(wholeLog, (text) => {
      const lines = text === "" ? [] : text.replace(/\n$/, "").split("\n")
      if (lines.length > log.length) lines.slice(log.length).forEach(keep)
    })
    const save = Effect.sync(() => {
      mkdirSync(logFolder, { recursive: true })
      writeFileSync(join(logFolder, `${name}.log`), log.map((line) => `${line}\n`).join(""))
    })
    const remove = api
      .call(`${jobs}/${name}`, { method: "DELETE", query: { propagationPolicy: "Background" } })
      .pipe(Effect.ignore)

    return yield* Effect.acquireUseRelease(
      api
        .call(jobs, { method: "POST", query: { fieldValidation: "Strict" }, body: job })
        .pipe(Effect.mapError((error) => explain(raw, error, api.context))),
      () =>
        Effect.gen(function* () {
          const watching = yield* Effect.fork(watch)
          const ended = yield* Effect.timeoutOption(wait, limitMs)
          yield* Fiber.interrupt(watching)
          yield* collect
          if (ended._tag === "Some") ended.value.notes.forEach(keep)
          else keep(`rehearsal: ${title} was ended after ${limitMs / 1000} s`)
          return {
            exitCode: ended._tag === "Some" ? ended.value.exitCode : TIMED_OUT,
            durationMs: Date.now() - begun,
            log: [...log],
            timedOut: ended._tag === "None",
            ...(ended._tag === "Some" && ended.value.lastWords !== undefined
              ? { lastWords: ended.value.lastWords }
              : {})
          }
        }),
      () => Effect.zipRight(save, remove)
    )
  })
