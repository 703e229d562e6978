/**
 * The steady load as a Job of the target's cluster: a client inside sees the Service as every client does, where a forward from
 * here would add failures of its own.
 */
import { Effect, Fiber, Schema, type Scope } from "effect"
import type { Cluster, DriverFailed, KubeObject, NotFound } from "../drivers/Driver.ts"
import { ToolFailed } from "../Errors.ts"
import type { Hook } from "../rollout/Rollout.ts"
import { LoadSummary, type SteadyLoad } from "./SteadyLoad.ts"

const NAME = "load"
/** A deleted pod's log is gone as soon as its node likes; this file's text stays in the pod's status, which the driver watches. */
const SUMMARY_FILE = "/dev/termination-log"
const DURATION_MS = 3_600_000
const STOP_GRACE_S = 90
const STOP_TIMEOUT = "2 minutes"
const KEPT_LINES = 4_000

interface JobSpec {
  readonly template: {
    readonly spec: { readonly containers: ReadonlyArray<Readonly<Record<string, unknown>>> }
  }
}

/** The smoke run's Job with k6's other script. Pure. */
export const loadJob = (smoke: KubeObject): KubeObject => {
  const { activeDeadlineSeconds: _, ...spec } = smoke["spec"] as JobSpec & { readonly activeDeadlineSeconds?: number }
  const [container, ...others] = spec.template.spec.containers
  return {
    ...smoke,
    metadata: { ...smoke.metadata, name: NAME },
    spec: {
      ...spec,
      template: {
        ...spec.template,
        spec: {
          ...spec.template.spec,
          // k6 breaks its iterations off and sums up when it is asked to end.
          terminationGracePeriodSeconds: STOP_GRACE_S,
          containers: [
            {
              ...container,
              command: ["k6", "run", "--quiet", "--no-usage-report", "--address", "", "/smoke/load.js"],
              args: [],
              // A hundred virtual users at once, where the smoke run is one.
              resources: { requests: { cpu: "100m", memory: "256Mi" }, limits: { memory: "1Gi" } }
            },
            ...others
          ]
        }
      }
    }
  }
}

/** What k6 wrote at its end: the last line that is a summary. */
export const summaryIn = (lines: ReadonlyArray<string>): string | undefined =>
  lines.findLast((line) => line.startsWith("{") && line.includes('"requestsFailed"'))

export const start = (options: {
  readonly cluster: Cluster
  readonly smoke: Hook
  /** Started runs per second. */
  readonly rate: number
}): Effect.Effect<SteadyLoad, DriverFailed | ToolFailed | NotFound, Scope.Scope> =>
  Effect.gen(function* () {
    const { cluster } = options
    const lines: Array<string> = []
    const running = yield* cluster
      .runJob(loadJob(options.smoke.job), {
        timeoutMs: DURATION_MS,
        env: { RATE: String(options.rate), DURATION: `${DURATION_MS / 1000}s`, SUMMARY_FILE },
        onLine: (line) => {
          lines.push(line)
          if (lines.length > KEPT_LINES) lines.shift()
        }
      })
      .pipe(Effect.forkScoped)
    const failed = (why: string) =>
      new ToolFailed({ message: `The load (Job/${NAME}) ${why}:\n${lines.slice(-12).join("\n")}` })
    return {
      complaints: () => lines.filter((line) => line.includes("level=error")).slice(-10),
      stop: Effect.gen(function* () {
        const pod = (yield* cluster.pods).find(({ owner, phase }) => owner === `Job/${NAME}` && phase === "Running")
        if (pod === undefined) return yield* failed("ended before it was told to, or never began")
        yield* cluster
          .deletePod(pod.name, { gracePeriodSeconds: STOP_GRACE_S })
          .pipe(Effect.mapError(({ message }) => failed(`could not be ended: ${message}`)))
        const { lastWords } = yield* Fiber.join(running).pipe(
          Effect.mapError(({ message }) => failed(`failed: ${message}`)),
          Effect.timeoutFail({ duration: STOP_TIMEOUT, onTimeout: () => failed(`did not end within ${STOP_TIMEOUT}`) })
        )
        const text = summaryIn(lastWords?.split("\n") ?? []) ?? summaryIn(lines)
        if (text === undefined) return yield* failed("left no summary")
        return yield* Schema.decodeUnknown(Schema.parseJson(LoadSummary))(text).pipe(
          Effect.mapError((error) => failed(`left a summary that can't be read: ${error.message}`))
        )
      })
    }
  })
