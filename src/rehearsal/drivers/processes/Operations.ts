/** What an operator does to a cluster: drain its node, prune what a release removed. */
import { Effect, Schedule } from "effect"
import { DriverFailed, type KubeObject, NotFound, type Pruned } from "../Driver.ts"
import { type Found, ownerOf, PRUNABLE, planPrune } from "../Prune.ts"
import { isKind, type Kind } from "./Kinds.ts"
import type { PodRecord } from "./PodRecord.ts"
import type { Store } from "./Store.ts"
import { NODE_NAME } from "./Variables.ts"

const LOOK_MS = 20
const EVICTION_TIMEOUT = "2 minutes"

export interface OperationsHost {
  readonly store: Store
  readonly pods: () => ReadonlyArray<PodRecord>
  readonly stop: (name: string) => Effect.Effect<void>
  readonly changed: () => void
}

const isWorkload = (owner: string) => owner.startsWith("StatefulSet/") || owner.startsWith("Deployment/")

/**
 * The one node is this machine, so pods come back on it. They are moved one after another for each owner, as
 * PodDisruptionBudgets with `maxUnavailable: 1` have it.
 */
export const drainNode = (node: string, host: OperationsHost): Effect.Effect<void, NotFound | DriverFailed> =>
  Effect.gen(function* () {
    if (node !== NODE_NAME) {
      return yield* new NotFound({
        object: `Node/${node}`,
        message: `There is no node "${node}". The process driver has one: "${NODE_NAME}".`
      })
    }
    const before = host.pods().filter(({ owner, terminating }) => isWorkload(owner) && !terminating)
    const byOwner = Map.groupBy(before, ({ owner }) => owner)
    yield* Effect.forEach(
      byOwner,
      ([owner, pods]) =>
        Effect.forEach(
          pods,
          (pod) =>
            host.stop(pod.name).pipe(
              Effect.zipRight(
                Effect.sync(() => {
                  const now = host.pods().filter((one) => one.owner === owner && !one.terminating)
                  return (
                    !now.some(({ uid }) => uid === pod.uid) && now.filter(({ ready }) => ready).length >= pods.length
                  )
                }).pipe(Effect.repeat({ until: (moved) => moved, schedule: Schedule.spaced(LOOK_MS) }))
              ),
              Effect.timeoutFail({
                duration: EVICTION_TIMEOUT,
                onTimeout: () =>
                  new DriverFailed({
                    message: `Draining ${node}: ${owner} has not its ${pods.length} ready pods again ${EVICTION_TIMEOUT} after ${pod.name} was evicted.`
                  })
              })
            ),
          { discard: true }
        ),
      { concurrency: "unbounded", discard: true }
    )
  })

const MANAGER = "rehearsal"

export const prune = (objects: ReadonlyArray<KubeObject>, host: OperationsHost): Effect.Effect<Pruned> =>
  Effect.gen(function* () {
    const owner = ownerOf(objects)
    if (owner === undefined) return { removed: [], kept: [] }
    const found = PRUNABLE.flatMap(
      ([apiVersion, kind]): ReadonlyArray<Found> =>
        isKind(kind)
          ? host.store
              .list(kind as Kind)
              .map(({ raw }) => raw)
              .filter((raw) => {
                const own = ownerOf([raw])
                return own?.pipeline === owner.pipeline && own.target === owner.target
              })
              .map((raw) => ({
                apiVersion,
                kind,
                metadata: { ...raw.metadata, managedFields: [{ manager: MANAGER, operation: "Apply" }] },
                spec: (raw["spec"] ?? {}) as Record<string, unknown>
              }))
          : []
    )
    const plan = planPrune({
      wanted: objects,
      found,
      manager: MANAGER,
      inUse: host.pods().map(({ template }) => template)
    })
    for (const { kind, metadata } of plan.remove) host.store.remove(kind as Kind, metadata.name)
    host.changed()
    const orphans = host
      .pods()
      .filter(({ owner: of }) => plan.remove.some(({ kind, metadata }) => of === `${kind}/${metadata.name}`))
    yield* Effect.forEach(orphans, ({ name }) => host.stop(name), { concurrency: "unbounded", discard: true })
    return {
      removed: plan.remove.map(({ kind, metadata }) => `${kind}/${metadata.name}`),
      kept: plan.keep.map(({ object, reason }) => `${object}: ${reason}`)
    }
  })
