/**
 * What a Deployment's controller does next, as a pure value.
 *
 * Follows Kubernetes' `pkg/controller/deployment/rolling.go`: grow the new revision up to the surge, then shrink the old ones as
 * far as availability allows, unhealthy pods first. Terminating pods count for nothing.
 */

export interface DeploymentSpec {
  readonly replicas: number
  readonly revision: string
  readonly strategy:
    | { readonly type: "Recreate" }
    | { readonly type: "RollingUpdate"; readonly maxSurge: number | string; readonly maxUnavailable: number | string }
}

export interface DeploymentPod {
  readonly name: string
  readonly revision: string
  readonly terminating: boolean
  readonly available: boolean
  /** Milliseconds; the youngest go first when a revision shrinks. */
  readonly createdAt: number
}

export type DeploymentAction =
  | { readonly _tag: "Create"; readonly count: number }
  | { readonly _tag: "Delete"; readonly name: string }

/** Surge rounds up and unavailable rounds down; when both come to 0, one may be unavailable (`ResolveFenceposts`). */
export const limits = (replicas: number, maxSurge: number | string, maxUnavailable: number | string) => {
  const scaled = (value: number | string, round: (value: number) => number) =>
    typeof value === "number" ? value : round((Number.parseInt(value, 10) * replicas) / 100)
  const surge = scaled(maxSurge, Math.ceil)
  const unavailable = scaled(maxUnavailable, Math.floor)
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : Math.min(unavailable, replicas) }
}

const deletions = (pods: ReadonlyArray<DeploymentPod>): ReadonlyArray<DeploymentAction> =>
  pods.map(({ name }) => ({ _tag: "Delete", name }))

/** Those to remove first: not available before available, young before old. */
const byWorth = (left: DeploymentPod, right: DeploymentPod) =>
  Number(left.available) - Number(right.available) || right.createdAt - left.createdAt

export const planDeployment = (
  spec: DeploymentSpec,
  pods: ReadonlyArray<DeploymentPod>
): ReadonlyArray<DeploymentAction> => {
  const alive = pods.filter(({ terminating }) => !terminating)
  const fresh = alive.filter(({ revision }) => revision === spec.revision)
  const old = alive.filter(({ revision }) => revision !== spec.revision)
  const actions: Array<DeploymentAction> = []
  const create = (count: number) => {
    if (count > 0) actions.push({ _tag: "Create", count })
  }

  if (spec.strategy.type === "Recreate") {
    const anyOld = pods.some(({ revision }) => revision !== spec.revision)
    if (anyOld) return deletions(old)
    create(spec.replicas - fresh.length)
    return [...actions, ...deletions(fresh.toSorted(byWorth).slice(0, Math.max(0, fresh.length - spec.replicas)))]
  }

  const { surge, unavailable } = limits(spec.replicas, spec.strategy.maxSurge, spec.strategy.maxUnavailable)
  create(Math.min(spec.replicas - fresh.length, spec.replicas + surge - alive.length))
  const surplus = fresh.toSorted(byWorth).slice(0, Math.max(0, fresh.length - spec.replicas))
  actions.push(...deletions(surplus))

  const minAvailable = spec.replicas - unavailable
  const freshUnavailable = fresh.filter(({ available }) => !available).length
  const budget = alive.length - minAvailable - freshUnavailable
  const unhealthy = old.filter(({ available }) => !available).slice(0, Math.max(0, budget))
  actions.push(...deletions(unhealthy))

  const available = alive.filter((pod) => pod.available && !surplus.includes(pod)).length
  const spare = Math.max(0, Math.min(available - minAvailable, budget - unhealthy.length))
  const healthyOld = old.filter((pod) => pod.available).toSorted(byWorth)
  return [...actions, ...deletions(healthyOld.slice(0, spare))]
}
