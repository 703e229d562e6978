import { expect, it } from "@effect/vitest"
import { Effect, Metric, MetricBoundaries } from "effect"
import { render } from "./Prometheus.ts"

it.effect("writes counters with their labels and histograms with cumulative buckets", () =>
  Effect.gen(function* () {
    const counter = Metric.counter("probe_calls_total", { description: "Calls.", incremental: true })
    yield* Metric.incrementBy(Metric.tagged(counter, "outcome", 'o"k\n'), 2)
    const histogram = Metric.histogram("probe_seconds", MetricBoundaries.fromIterable([0.1, 1]), "Time.")
    for (const value of [0.05, 0.5, 7]) yield* Metric.update(histogram, value)
    expect(render("probe_").split("\n").sort()).toEqual(
      [
        "# HELP probe_calls_total Calls.",
        "# TYPE probe_calls_total counter",
        'probe_calls_total{outcome="o\\"k\\n"} 2',
        "# HELP probe_seconds Time.",
        "# TYPE probe_seconds histogram",
        'probe_seconds_bucket{le="0.1"} 1',
        'probe_seconds_bucket{le="1"} 2',
        'probe_seconds_bucket{le="+Inf"} 3',
        "probe_seconds_sum 7.55",
        "probe_seconds_count 3",
        ""
      ].sort()
    )
    expect(render("nothing_")).toBe("")
  })
)
