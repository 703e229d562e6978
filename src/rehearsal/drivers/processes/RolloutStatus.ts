/**
 * Whether a workload has rolled out, as `kubectl rollout status` (and so Skaffold's status check) sees it.
 *
 * The words are kubectl's (`pkg/polymorphichelpers/rollout_status.go`), since people search for them.
 */

export type Status =
  | { readonly done: true; readonly message: string }
  | { readonly done: false; readonly message: string }

const waiting = (message: string): Status => ({ done: false, message })
const complete = (message: string): Status => ({ done: true, message })

export interface SetState {
  readonly replicas: number
  readonly partition: number
  readonly ready: number
  /** Pods of the update revision that are not terminating. */
  readonly updated: number
}

export const statefulSetStatus = (state: SetState): Status => {
  if (state.ready < state.replicas) return waiting(`Waiting for ${state.replicas - state.ready} pods to be ready...`)
  const wanted = Math.max(0, state.replicas - state.partition)
  return state.updated < wanted
    ? waiting(
        `Waiting for partitioned roll out to finish: ${state.updated} out of ${wanted} new pods have been updated...`
      )
    : complete(`partitioned roll out complete: ${state.updated} new pods have been updated...`)
}

export interface DeploymentState {
  readonly replicas: number
  /** All pods that are not terminating. */
  readonly total: number
  readonly updated: number
  /** Of the updated ones. */
  readonly available: number
}

export const deploymentStatus = (state: DeploymentState): Status => {
  if (state.updated < state.replicas) {
    return waiting(
      `Waiting for rollout to finish: ${state.updated} out of ${state.replicas} new replicas have been updated...`
    )
  }
  if (state.total > state.updated) {
    return waiting(
      `Waiting for rollout to finish: ${state.total - state.updated} old replicas are pending termination...`
    )
  }
  return state.available < state.updated
    ? waiting(`Waiting for rollout to finish: ${state.available} of ${state.updated} updated replicas are available...`)
    : complete("successfully rolled out")
}
