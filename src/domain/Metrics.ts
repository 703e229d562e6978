/**
 * What is counted and timed, for the objectives that the service has. Each process counts its own; Prometheus adds them up.
 *
 * No label holds a tenant, a session or a run: their number has no bound.
 */
import { Metric, MetricBoundaries } from "effect"

const seconds = (...bounds: ReadonlyArray<number>) => MetricBoundaries.fromIterable(bounds)

/** Starts that a session accepted. Repeated calls for the same run count again: compare with finished runs at rest only. */
export const runsStarted = Metric.counter("agents_runs_started_total", {
  description: "Starts of runs that were answered with a run.",
  incremental: true
})

/** Tagged with `status`: completed, failed, cancelled. */
export const runsFinished = Metric.counter("agents_runs_finished_total", {
  description: "Runs that ended, by status.",
  incremental: true
})

export const firstTokenSeconds = Metric.histogram(
  "agents_first_token_seconds",
  seconds(0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60),
  "From the acceptance of a run to its first recorded token."
)

export const completionSeconds = Metric.histogram(
  "agents_completion_seconds",
  seconds(0.5, 1, 2, 5, 10, 30, 60, 300, 1_800, 86_400),
  "From the acceptance of a run to its end, waiting for people included."
)

export const eventDelaySeconds = Metric.histogram(
  "agents_event_delay_seconds",
  seconds(0.025, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 15),
  "From the recording of an event to its sending to a client that was connected by then."
)

/**
 * Tagged with `code`, the HTTP status: 101 is a socket that was opened. Probes and this very metric's reader are left out, as they would be
 * most of all requests at rest.
 */
export const gatewayRequests = Metric.counter("agents_gateway_requests_total", {
  description: "Requests that a gateway answered, by status.",
  incremental: true
})

/** Tagged with `model`, and `outcome`: ok, failed, retryable. */
export const modelCalls = Metric.counter("agents_model_calls_total", {
  description: "Calls to models, by model and outcome.",
  incremental: true
})

export const modelSeconds = Metric.histogram(
  "agents_model_seconds",
  seconds(0.1, 0.5, 1, 2, 5, 10, 30, 60, 120),
  "How long a call to a model took."
)

/** Tagged with `tool` (known ones only) and `outcome`: ok, refused, failed. */
export const toolCalls = Metric.counter("agents_tool_calls_total", {
  description: "Calls to tools, by tool and outcome.",
  incremental: true
})

export const droppedSpanBatches = Metric.counter("agents_span_batches_dropped_total", {
  description: "Batches of spans that the trace collector did not take.",
  incremental: true
})

export const engineRowsRemoved = Metric.counter("agents_engine_rows_removed_total", {
  description: "Messages of finished executions that were removed from the engine's tables.",
  incremental: true
})

/** Of the whole database; on the one runner that looks, 0 on the others. */
export const poisonedMessages = Metric.gauge("agents_poisoned_messages", {
  description: "Messages of open executions that the engine answered for good with a failure of its own."
})

export const eventsMoved = Metric.counter("agents_events_moved_total", {
  description: "Events of ended runs that were moved from the writers' table to their day's partition.",
  incremental: true
})

/** Of the whole database; on the one runner that moves, 0 on the others. */
export const eventRetentionLagSeconds = Metric.gauge("agents_event_retention_lag_seconds", {
  description: "How long the oldest ended run whose events are to be moved has been due."
})
