/** What the cluster knows of one pod. Records change in place: one event loop writes and reads them. */
import type { PodStatus } from "../Driver.ts"
import type { Container, PodTemplate } from "./PodSpec.ts"
import { NODE_NAME } from "./Variables.ts"

export interface ContainerRecord {
  readonly spec: Container
  readonly kind: "init" | "sidecar" | "main"
  state: "waiting" | "running" | "terminated"
  /** The startup probe succeeded (or there is none) since the last start. */
  started: boolean
  ready: boolean
  restarts: number
  /** Ends in a row without ever having been ready: three of them are a crash loop. */
  crashes: number
  pid: number | undefined
  exitCode: number | undefined
  /** The last lines of its output, oldest first. */
  readonly lines: Array<string>
}

export interface PodRecord {
  readonly name: string
  readonly uid: string
  /** `StatefulSet/effect-agent-runtime`. */
  readonly owner: string
  readonly revision: string
  readonly template: PodTemplate
  readonly labels: Readonly<Record<string, string>>
  readonly annotations: Readonly<Record<string, string>>
  readonly serviceAccount: string
  /** The headless Service that gives the pod a name of its own. */
  readonly subdomain: string | undefined
  readonly address: string
  readonly createdAt: Date
  readonly containers: ReadonlyArray<ContainerRecord>
  phase: PodStatus["phase"]
  ready: boolean
  /** Milliseconds since the epoch; undefined while not ready. */
  readySince: number | undefined
  terminating: boolean
  /** Why the pod does not run yet, in Kubernetes' words where it has one (`ImagePullBackOff`). */
  waiting: { readonly reason: string; readonly message: string } | undefined
}

export const makeContainers = (template: PodTemplate): ReadonlyArray<ContainerRecord> => {
  const record = (spec: Container, kind: ContainerRecord["kind"]): ContainerRecord => ({
    spec,
    kind,
    state: "waiting",
    started: false,
    ready: false,
    restarts: 0,
    crashes: 0,
    pid: undefined,
    exitCode: undefined,
    lines: []
  })
  return [
    ...(template.spec.initContainers ?? []).map((spec) =>
      record(spec, spec.restartPolicy === "Always" ? "sidecar" : "init")
    ),
    ...template.spec.containers.map((spec) => record(spec, "main"))
  ]
}

export const available = (pod: PodRecord, minReadySeconds: number, now = Date.now()): boolean =>
  pod.ready && pod.readySince !== undefined && now - pod.readySince >= minReadySeconds * 1000

/** A container that ended this often in a row without becoming ready. */
export const CRASH_LOOP = 3

export const crashLooping = (pod: PodRecord): ContainerRecord | undefined =>
  pod.containers.find(({ crashes }) => crashes >= CRASH_LOOP)

export const matches = (selector: Readonly<Record<string, string>>, pod: Pick<PodRecord, "labels">): boolean =>
  Object.entries(selector).every(([key, value]) => pod.labels[key] === value)

export const statusOf = (pod: PodRecord): PodStatus => {
  const main = pod.containers.find(({ kind }) => kind === "main")
  return {
    name: pod.name,
    owner: pod.owner,
    address: pod.address,
    phase: pod.phase,
    ready: pod.ready,
    terminating: pod.terminating,
    restarts: pod.containers.reduce((sum, { restarts }) => sum + restarts, 0),
    images: pod.containers.map(({ spec }) => spec.image),
    node: NODE_NAME,
    revision: pod.revision,
    ...(main?.pid === undefined ? {} : { pid: main.pid }),
    startedAt: pod.createdAt
  }
}
