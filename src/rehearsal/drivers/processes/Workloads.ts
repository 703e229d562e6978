/**
 * The controllers' state: which revisions a workload has, and its pods as the planners and the status rules see them.
 * Everything here is synchronous; the cluster's queue decides when it is asked.
 */

import { type DeploymentAction, planDeployment } from "./DeploymentPlan.ts"
import type { Deployment, StatefulSet } from "./Kinds.ts"
import { available, type PodRecord } from "./PodRecord.ts"
import type { PodTemplate } from "./PodSpec.ts"
import { revisionOf } from "./Revision.ts"
import { deploymentStatus, type Status, statefulSetStatus } from "./RolloutStatus.ts"
import { planStatefulSet, type SetAction, type SetPod, type SetSpec, updateComplete } from "./StatefulSetPlan.ts"
import type { Store } from "./Store.ts"

export type WorkloadKind = "StatefulSet" | "Deployment"

export interface NewPod {
  readonly name: string
  readonly owner: string
  readonly revision: string
  readonly template: PodTemplate
  /** Keeps its name and its address over restarts. */
  readonly stable: boolean
  readonly subdomain: string | undefined
}

export interface Actions {
  readonly create: ReadonlyArray<NewPod>
  readonly remove: ReadonlyArray<string>
}

export interface Workloads {
  /** To be called after every apply: takes note of new revisions. */
  readonly observe: () => void
  /** What all controllers want done now. */
  readonly plan: (pods: ReadonlyArray<PodRecord>) => Actions
  readonly status: (kind: WorkloadKind, name: string, pods: ReadonlyArray<PodRecord>) => Status | undefined
  /**
   * Pods that hold an OrderedReady set up for ever: broken ones of a revision that is no longer wanted. Kubernetes leaves them to
   * a person ("forced rollback"), so whoever waits for the rollout deletes them.
   */
  readonly stuck: (kind: WorkloadKind, name: string, pods: ReadonlyArray<PodRecord>) => ReadonlyArray<string>
  /** The revision that the workload is going to. */
  readonly updateRevision: (kind: WorkloadKind, name: string) => string | undefined
  readonly minReadySeconds: (owner: string) => number
}

/** Kubernetes' defaults. */
const DEFAULT_SURGE = "25%"

interface Revisions {
  current: string
  update: string
  readonly templates: Map<string, PodTemplate>
}

const templateOf = (raw: unknown) => (raw as { readonly spec: { readonly template: unknown } }).spec.template

const ordinalOf = (name: string) => Number(name.slice(name.lastIndexOf("-") + 1))

/** The alphabet of Kubernetes' generated names: no vowels, so no words. */
const ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
export const suffix = (): string =>
  Array.from({ length: 5 }, () => ALPHABET[Math.floor(Math.random() * ALPHABET.length)]).join("")

export const make = (store: Store): Workloads => {
  const revisions = new Map<string, Revisions>()

  const observeOne = (owner: string, template: PodTemplate, raw: unknown) => {
    const update = revisionOf(templateOf(raw))
    const known = revisions.get(owner)
    if (known === undefined) {
      revisions.set(owner, { current: update, update, templates: new Map([[update, template]]) })
      return
    }
    known.update = update
    known.templates.set(update, template)
  }

  const owned = (owner: string, pods: ReadonlyArray<PodRecord>) => pods.filter((pod) => pod.owner === owner)

  const setSpec = (set: StatefulSet, known: Revisions): SetSpec => ({
    start: set.spec.ordinals?.start ?? 0,
    replicas: set.spec.replicas ?? 1,
    partition: set.spec.updateStrategy?.rollingUpdate?.partition ?? 0,
    policy: set.spec.podManagementPolicy ?? "OrderedReady",
    currentRevision: known.current,
    updateRevision: known.update
  })

  const setPods = (set: StatefulSet, pods: ReadonlyArray<PodRecord>): ReadonlyArray<SetPod> =>
    pods.map((pod) => ({
      ordinal: ordinalOf(pod.name),
      revision: pod.revision,
      terminating: pod.terminating,
      available: available(pod, set.spec.minReadySeconds ?? 0)
    }))

  const planSet = (set: StatefulSet, all: ReadonlyArray<PodRecord>): Actions => {
    const name = set.metadata.name
    const owner = `StatefulSet/${name}`
    const known = revisions.get(owner)
    if (known === undefined) return { create: [], remove: [] }
    const pods = setPods(set, owned(owner, all))
    if (updateComplete(setSpec(set, known), pods)) known.current = known.update
    // Only these two can be needed again.
    for (const revision of known.templates.keys()) {
      if (revision !== known.current && revision !== known.update) known.templates.delete(revision)
    }
    const actions: ReadonlyArray<SetAction> = planStatefulSet(setSpec(set, known), pods)
    return {
      create: actions.flatMap((action) => {
        const template = action._tag === "Create" ? known.templates.get(action.revision) : undefined
        return action._tag === "Create" && template !== undefined
          ? [
              {
                name: `${name}-${action.ordinal}`,
                owner,
                revision: action.revision,
                template,
                stable: true,
                subdomain: set.spec.serviceName
              }
            ]
          : []
      }),
      remove: actions.flatMap((action) => (action._tag === "Delete" ? [`${name}-${action.ordinal}`] : []))
    }
  }

  const planDeploy = (deployment: Deployment, all: ReadonlyArray<PodRecord>): Actions => {
    const name = deployment.metadata.name
    const owner = `Deployment/${name}`
    const known = revisions.get(owner)
    const template = known?.templates.get(known.update)
    if (known === undefined || template === undefined) return { create: [], remove: [] }
    const { type = "RollingUpdate", rollingUpdate } = deployment.spec.strategy ?? {}
    const actions: ReadonlyArray<DeploymentAction> = planDeployment(
      {
        replicas: deployment.spec.replicas ?? 1,
        revision: known.update,
        strategy:
          type === "Recreate"
            ? { type }
            : {
                type,
                maxSurge: rollingUpdate?.maxSurge ?? DEFAULT_SURGE,
                maxUnavailable: rollingUpdate?.maxUnavailable ?? DEFAULT_SURGE
              }
      },
      owned(owner, all).map((pod) => ({
        name: pod.name,
        revision: pod.revision,
        terminating: pod.terminating,
        available: available(pod, deployment.spec.minReadySeconds ?? 0),
        createdAt: pod.createdAt.getTime()
      }))
    )
    return {
      create: actions.flatMap((action) =>
        action._tag === "Create"
          ? Array.from({ length: action.count }, () => ({
              name: `${name}-${known.update}-${suffix()}`,
              owner,
              revision: known.update,
              template,
              stable: false,
              subdomain: undefined
            }))
          : []
      ),
      remove: actions.flatMap((action) => (action._tag === "Delete" ? [action.name] : []))
    }
  }

  const statusOfSet = (name: string, all: ReadonlyArray<PodRecord>): Status | undefined => {
    const set = store.get("StatefulSet", name)?.object
    const known = revisions.get(`StatefulSet/${name}`)
    if (set === undefined || known === undefined) return undefined
    const pods = owned(`StatefulSet/${name}`, all).filter(({ terminating }) => !terminating)
    const { partition, replicas, start } = setSpec(set, known)
    return statefulSetStatus({
      replicas,
      partition: Math.max(0, partition - start),
      ready: pods.filter(({ ready }) => ready).length,
      updated: pods.filter(({ revision }) => revision === known.update).length
    })
  }

  const statusOfDeployment = (name: string, all: ReadonlyArray<PodRecord>): Status | undefined => {
    const deployment = store.get("Deployment", name)?.object
    const known = revisions.get(`Deployment/${name}`)
    if (deployment === undefined || known === undefined) return undefined
    const pods = owned(`Deployment/${name}`, all).filter(({ terminating }) => !terminating)
    const updated = pods.filter(({ revision }) => revision === known.update)
    return deploymentStatus({
      replicas: deployment.spec.replicas ?? 1,
      total: pods.length,
      updated: updated.length,
      available: updated.filter((pod) => available(pod, deployment.spec.minReadySeconds ?? 0)).length
    })
  }

  return {
    observe: () => {
      for (const { object, raw } of store.list("StatefulSet")) {
        observeOne(`StatefulSet/${object.metadata.name}`, object.spec.template, raw)
      }
      for (const { object, raw } of store.list("Deployment")) {
        observeOne(`Deployment/${object.metadata.name}`, object.spec.template, raw)
      }
    },
    plan: (pods) => {
      const plans = [
        ...store.list("StatefulSet").map(({ object }) => planSet(object, pods)),
        ...store.list("Deployment").map(({ object }) => planDeploy(object, pods))
      ]
      return { create: plans.flatMap(({ create }) => create), remove: plans.flatMap(({ remove }) => remove) }
    },
    status: (kind, name, pods) => (kind === "StatefulSet" ? statusOfSet(name, pods) : statusOfDeployment(name, pods)),
    stuck: (kind, name, pods) => {
      const set = kind === "StatefulSet" ? store.get("StatefulSet", name)?.object : undefined
      const known = revisions.get(`StatefulSet/${name}`)
      if (set === undefined || known === undefined) return []
      const { partition, policy } = setSpec(set, known)
      if (policy !== "OrderedReady") return []
      return owned(`StatefulSet/${name}`, pods)
        .filter(
          (pod) => ordinalOf(pod.name) >= partition && !pod.ready && !pod.terminating && pod.revision !== known.update
        )
        .map((pod) => pod.name)
    },
    updateRevision: (kind, name) => revisions.get(`${kind}/${name}`)?.update,
    minReadySeconds: (owner) => {
      const [kind, name = ""] = owner.split("/")
      if (kind === "StatefulSet") return store.get("StatefulSet", name)?.object.spec.minReadySeconds ?? 0
      return kind === "Deployment" ? (store.get("Deployment", name)?.object.spec.minReadySeconds ?? 0) : 0
    }
  }
}
