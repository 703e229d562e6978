/**
 * The Job that Skaffold makes of a `customActions` container or a `verify` test with `executionMode: kubernetesCluster`.
 *
 * From `jobManifestPath` the container of the same name survives and the others are dropped, volumes and the service
 * account stay, `restartPolicy` is Never and nothing is retried (Skaffold `pkg/skaffold/{actions,verify}/k8sjob`).
 */
import type { KubeObject } from "../drivers/Driver.ts"

export interface HookContainer {
  readonly name: string
  readonly image: string
  readonly command?: ReadonlyArray<string> | undefined
  readonly args?: ReadonlyArray<string> | undefined
  readonly env?: ReadonlyArray<{ readonly name: string; readonly value: string }> | undefined
}

interface PodSpec {
  readonly containers?: ReadonlyArray<Readonly<Record<string, unknown>> & { readonly name?: unknown }>
  readonly [field: string]: unknown
}

interface JobSpec {
  readonly template?: { readonly metadata?: unknown; readonly spec?: PodSpec }
  readonly [field: string]: unknown
}

/** Pure. `base` is the object of `jobManifestPath`, absent where the action names none. */
export const hookJob = (
  container: HookContainer,
  images: Readonly<Record<string, string>>,
  base: KubeObject | undefined
): KubeObject => {
  const spec = (base?.["spec"] ?? {}) as JobSpec
  const pod = spec.template?.spec ?? {}
  const kept = pod.containers?.find((candidate) => candidate.name === container.name) ?? {}
  const keptEnv = Array.isArray(kept["env"]) ? kept["env"] : []
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: { ...base?.metadata, name: container.name },
    spec: {
      ...spec,
      backoffLimit: 0,
      template: {
        ...spec.template,
        spec: {
          ...pod,
          restartPolicy: "Never",
          containers: [
            {
              ...kept,
              name: container.name,
              image: images[container.image] ?? container.image,
              ...(container.command === undefined ? {} : { command: container.command }),
              ...(container.args === undefined ? {} : { args: container.args }),
              env: [...keptEnv, ...(container.env ?? [])]
            }
          ]
        }
      }
    }
  }
}
