/** What happens to pods, for live progress. */
export interface PodEvent {
  readonly target: string
  readonly pod: string
  /** `StatefulSet/effect-agent-runtime`. */
  readonly owner: string
  /** The containers' images, so that a release can be recognised. */
  readonly images: ReadonlyArray<string>
  readonly type: "started" | "restarted" | "ready" | "unready" | "waiting" | "stopping" | "stopped"
  /** Why it waits. */
  readonly message?: string
  readonly at: Date
}
