/**
 * What can go wrong, in one list. Each has an alert and a panel of the dashboard (made from it) and a runbook,
 * `docs/runbooks/ID.md`; a test holds the three to the same list.
 */
export interface FailureMode {
  /** Name of the alert, the panel and the runbook. */
  readonly id: string
  readonly title: string
  /** Page wakes a person; ticket waits for the morning. */
  readonly severity: "page" | "ticket"
  /** PromQL of what is drawn. */
  readonly panel: string
  /** The alert fires while this comparison with the panel's query holds. */
  readonly when: string
  /** Seconds for which it must hold. */
  readonly lasting: number
}

const mode = (
  id: string,
  title: string,
  severity: FailureMode["severity"],
  panel: string,
  when: string,
  lasting: number
): FailureMode => ({ id, title, severity, panel, when, lasting })

const RUNNERS = 'monitored_resource="k8s_container",namespace_name="agents"'

export const failureModes: ReadonlyArray<FailureMode> = [
  mode(
    "runs-failing",
    "Runs end as failed",
    "page",
    'sum(rate(agents_runs_finished_total{status="failed"}[10m])) / sum(rate(agents_runs_finished_total[10m]))',
    "> 0.05",
    600
  ),
  mode(
    "runs-stuck",
    "An accepted run makes no progress",
    "page",
    'max(agents_oldest_open_run_seconds{status="accepted"})',
    "> 900",
    300
  ),
  mode(
    "first-token-slow",
    "First tokens come late",
    "page",
    "histogram_quantile(0.95, sum by (le) (rate(agents_first_token_seconds_bucket[10m])))",
    "> 5",
    600
  ),
  mode(
    "events-late",
    "Events reach connected clients late",
    "ticket",
    "histogram_quantile(0.99, sum by (le) (rate(agents_event_delay_seconds_bucket[10m])))",
    "> 1",
    600
  ),
  mode(
    "model-failing",
    "Calls to a model fail",
    "page",
    'sum(rate(agents_model_calls_total{outcome!="ok"}[10m])) / sum(rate(agents_model_calls_total[10m]))',
    "> 0.2",
    300
  ),
  mode(
    "tools-failing",
    "Calls to tools fail",
    "ticket",
    'sum(rate(agents_tool_calls_total{outcome="failed"}[15m])) / sum(rate(agents_tool_calls_total[15m]))',
    "> 0.2",
    900
  ),
  mode(
    "traces-dropped",
    "Traces are not taken",
    "ticket",
    "sum(rate(agents_span_batches_dropped_total[15m]))",
    "> 0",
    900
  ),
  mode(
    "runner-restarting",
    "A process keeps restarting",
    "page",
    `sum by (pod_name) (increase(kubernetes_io:container_restart_count{${RUNNERS}}[15m]))`,
    "> 3",
    60
  ),
  mode(
    "runner-memory",
    "A process is near its memory limit",
    "ticket",
    `max by (pod_name) (kubernetes_io:container_memory_limit_utilization{${RUNNERS}})`,
    "> 0.9",
    600
  ),
  mode(
    "database-down",
    "The database does not answer",
    "page",
    'min(cloudsql_googleapis_com:database_up{monitored_resource="cloudsql_database"})',
    "< 1",
    60
  ),
  mode(
    "database-full",
    "The database's disk fills up",
    "ticket",
    'max(cloudsql_googleapis_com:database_disk_utilization{monitored_resource="cloudsql_database"})',
    "> 0.85",
    900
  ),
  mode(
    "database-busy",
    "The database's processors are used up",
    "ticket",
    'max(cloudsql_googleapis_com:database_cpu_utilization{monitored_resource="cloudsql_database"})',
    "> 0.85",
    900
  ),
  mode(
    "connections-short",
    "Database connections run out",
    "page",
    'sum(cloudsql_googleapis_com:database_postgresql_num_backends{monitored_resource="cloudsql_database"})',
    "> 160",
    300
  ),
  mode(
    "replica-behind",
    "The replica in the other region is behind",
    "ticket",
    'max(cloudsql_googleapis_com:database_replication_replica_lag{monitored_resource="cloudsql_database"})',
    "> 300",
    900
  ),
  mode(
    "edge-down",
    "The API does not answer from outside",
    "page",
    'avg(monitoring_googleapis_com:uptime_check_check_passed{monitored_resource="uptime_url"})',
    "< 0.5",
    120
  ),
  mode(
    "edge-errors",
    "The edge answers 5xx",
    "page",
    'sum(rate(run_googleapis_com:request_count{monitored_resource="cloud_run_revision",response_code_class="5xx"}[10m])) / sum(rate(run_googleapis_com:request_count{monitored_resource="cloud_run_revision"}[10m]))',
    "> 0.02",
    300
  ),
  mode(
    "tokens-refused",
    "Many tokens are refused",
    "ticket",
    'sum(rate(logging_googleapis_com:user_agents_tokens_refused{monitored_resource="k8s_container"}[10m]))',
    "> 5",
    600
  ),
  mode(
    "keys-unavailable",
    "Tokens can't be verified: no keys",
    "page",
    'sum(rate(logging_googleapis_com:user_agents_keys_unavailable{monitored_resource="k8s_container"}[5m]))',
    "> 0",
    120
  ),
  mode(
    "drill-failed",
    "A drill failed",
    "ticket",
    'sum(increase(logging_googleapis_com:user_agents_drills_failed{monitored_resource="k8s_container"}[1h]))',
    "> 0",
    60
  )
]

/** Log lines that are counted: name of the metric to the filter. */
export const logMetrics: Readonly<Record<string, string>> = {
  agents_tokens_refused: 'jsonPayload.message="a token was refused"',
  agents_keys_unavailable: 'jsonPayload.message="the keys of the identity provider could not be fetched"',
  agents_drills_failed: 'resource.labels.pod_name:"drill-" severity>=ERROR'
}
