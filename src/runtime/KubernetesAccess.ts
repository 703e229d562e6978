/** How a pod reaches Kubernetes' API. */
export interface KubernetesAccess {
  readonly url: string
  readonly namespace: string
  /** Read again for every request: the kubelet rotates it. */
  readonly tokenFile: string
}
