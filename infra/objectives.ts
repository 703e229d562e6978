/** What is promised to users, over 28 days. `docs/slo.md` says why. */
const prometheus = (metric: string, kind: string, labels = "") =>
  `metric.type="prometheus.googleapis.com/${metric}/${kind}" resource.type="prometheus_target"${labels}`

export interface Objective {
  readonly id: string
  readonly title: string
  readonly goal: number
  readonly sli:
    | { readonly distributionCut: { readonly distributionFilter: string; readonly range: { readonly max: number } } }
    | { readonly goodTotalRatio: { readonly badServiceFilter: string; readonly totalServiceFilter: string } }
}

const within = (id: string, title: string, goal: number, metric: string, max: number): Objective => ({
  id,
  title,
  goal,
  sli: { distributionCut: { distributionFilter: prometheus(metric, "histogram"), range: { max } } }
})

export const objectives: ReadonlyArray<Objective> = [
  within("first-token", "95 % of first tokens within 2 s", 0.95, "agents_first_token_seconds", 2),
  within("event-delay", "99 % of events within 250 ms", 0.99, "agents_event_delay_seconds", 0.25),
  {
    id: "completion",
    title: "99.5 % of runs end without failing",
    goal: 0.995,
    sli: {
      goodTotalRatio: {
        badServiceFilter: prometheus("agents_runs_finished_total", "counter", ' metric.labels.status="failed"'),
        totalServiceFilter: prometheus("agents_runs_finished_total", "counter")
      }
    }
  }
]
