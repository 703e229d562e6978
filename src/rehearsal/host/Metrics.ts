/** Reads what pods say of themselves to Prometheus, as the PodMonitoring of the real clusters does: port `http`, path `/metrics`. */
import { Effect } from "effect"
import type { Cluster, KubeObject } from "../drivers/Driver.ts"

const PORT = "http"
const TIMEOUT_MS = 1_000

interface Workload {
  readonly spec?: {
    readonly template?: {
      readonly spec?: {
        readonly containers?: ReadonlyArray<{
          readonly ports?: ReadonlyArray<{ readonly name?: string; readonly containerPort: number }>
        }>
      }
    }
  }
}

const portOf = (workload: KubeObject): number | undefined =>
  (workload as Workload).spec?.template?.spec?.containers
    ?.flatMap(({ ports = [] }) => ports)
    .find(({ name }) => name === PORT)?.containerPort

const read = (address: string, port: number) =>
  Effect.tryPromise(async (signal) => {
    const response = await fetch(`http://${address}:${port}/metrics`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
    })
    if (!response.ok) throw new Error(`${response.status}`)
    return await response.text()
  })

/** Of each ready pod of this workload, what it answered. None where the workload was not applied. */
export const of = (
  cluster: Cluster,
  workload: KubeObject | undefined
): Effect.Effect<ReadonlyArray<{ readonly pod: string; readonly text: string }>> =>
  Effect.gen(function* () {
    const port = workload === undefined ? undefined : portOf(workload)
    if (workload === undefined || port === undefined) return []
    const owner = `${workload.kind}/${workload.metadata.name}`
    const pods = (yield* cluster.pods).filter((pod) => pod.owner === owner && pod.ready)
    const answers = yield* Effect.forEach(
      pods,
      ({ name, address }) =>
        read(address, port).pipe(
          Effect.map((text) => [{ pod: name, text }]),
          Effect.orElseSucceed(() => [])
        ),
      { concurrency: "unbounded" }
    )
    return answers.flat()
  })
