/** A rule of the manifest gate: a pure function over everything that one release would deliver. */
import type { Finding } from "../Evidence.ts"
import { type KubeObject, type Workload, workloads } from "./Workload.ts"

/** One phase of one stage, with what it would apply. */
export interface Step {
  readonly target: string
  readonly phase: string
  /** The last phase of its stage: after it the target runs the new release alone. */
  readonly last: boolean
  /** `k8s/overlays/prod-one`. */
  readonly overlay: string
  readonly objects: ReadonlyArray<KubeObject>
  readonly predeploy: ReadonlyArray<string>
  readonly verify: boolean
  readonly postdeploy: ReadonlyArray<string>
}

export interface LabelRule {
  readonly groupKind: string
  readonly labels?: ReadonlyArray<string> | undefined
}

export interface DeliverySet {
  /** Every phase of every stage, in the order in which a release meets them. */
  readonly steps: ReadonlyArray<Step>
  /** The Job templates of hooks and verify tests. */
  readonly jobs: ReadonlyArray<{ readonly file: string; readonly object: KubeObject }>
  /** What the platform makes before the first release (`k8s/platform`). */
  readonly platform: ReadonlyArray<KubeObject>
  /** `resourceSelector.allow` of skaffold.yaml. */
  readonly labelRules: ReadonlyArray<LabelRule>
  /** Target to `requireApproval`. */
  readonly approvals: Readonly<Record<string, boolean>>
  /** What can't change of workloads that are there (`k8s/unchanging.json`), by `StatefulSet/name`. Undefined: nobody wrote it down. */
  readonly unchanging: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined
  /** Images have been put in: every one must be named by digest. */
  readonly released: boolean
}

export interface Rule {
  /** Kebab-case, stable. */
  readonly name: string
  /** What it covered, for the list of checks. */
  readonly covers: (set: DeliverySet) => string
  readonly check: (set: DeliverySet) => ReadonlyArray<Finding>
}

/** `dev`, or `prod / one-replica` where a stage has phases. */
export const stepName = (set: DeliverySet, step: Step): string =>
  set.steps.filter(({ target }) => target === step.target).length > 1 ? `${step.target} / ${step.phase}` : step.target

/** Steps that apply the same overlay say the same about its objects: one of each. */
export const overlays = (set: DeliverySet): ReadonlyArray<Step> =>
  set.steps.filter((step, i) => set.steps.findIndex(({ overlay }) => overlay === step.overlay) === i)

/** Everything that would run: what each overlay applies, then the Jobs of hooks and verify tests; `where` is the overlay or file. */
export const allWorkloads = (
  set: DeliverySet
): ReadonlyArray<{ readonly where: string; readonly workload: Workload }> => [
  ...overlays(set).flatMap(({ overlay, objects }) =>
    workloads(objects).map((workload) => ({ where: overlay, workload }))
  ),
  ...set.jobs.flatMap(({ file, object }) => workloads([object]).map((workload) => ({ where: file, workload })))
]
