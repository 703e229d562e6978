/** Effect's metrics in Prometheus' text format. */
import { Metric, MetricState } from "effect"

const quoted = (value: string): string => value.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")

const labelled = (name: string, labels: ReadonlyArray<readonly [string, string]>): string =>
  labels.length === 0 ? name : `${name}{${labels.map(([key, value]) => `${key}="${quoted(value)}"`).join(",")}}`

const number = (value: number): string =>
  value === Number.POSITIVE_INFINITY || value === Number.MAX_SAFE_INTEGER ? "+Inf" : String(value)

/** Counters, gauges and histograms whose name begins with `prefix`: the runtime has some of its own (fibers). */
export const render = (prefix = "agents_"): string => {
  const families = new Map<string, { readonly head: string; readonly lines: Array<string> }>()
  for (const { metricKey, metricState } of Metric.unsafeSnapshot()) {
    const { name } = metricKey
    if (!name.startsWith(prefix)) continue
    const labels = metricKey.tags.map(({ key, value }) => [key, value] as const)
    const family = (type: string) => {
      const known = families.get(name)
      if (known !== undefined) return known.lines
      const description = metricKey.description._tag === "Some" ? metricKey.description.value : name
      const lines: Array<string> = []
      families.set(name, { head: `# HELP ${name} ${description}\n# TYPE ${name} ${type}`, lines })
      return lines
    }
    if (MetricState.isCounterState(metricState)) {
      family("counter").push(`${labelled(name, labels)} ${metricState.count}`)
    } else if (MetricState.isGaugeState(metricState)) {
      family("gauge").push(`${labelled(name, labels)} ${metricState.value}`)
    } else if (MetricState.isHistogramState(metricState)) {
      const lines = family("histogram")
      // Effect's boundaries end with +Inf, but the last bucket is Prometheus' own.
      for (const [bound, count] of metricState.buckets) {
        if (Number.isFinite(bound))
          lines.push(`${labelled(`${name}_bucket`, [...labels, ["le", number(bound)]])} ${count}`)
      }
      lines.push(
        `${labelled(`${name}_bucket`, [...labels, ["le", "+Inf"]])} ${metricState.count}`,
        `${labelled(`${name}_sum`, labels)} ${metricState.sum}`,
        `${labelled(`${name}_count`, labels)} ${metricState.count}`
      )
    }
  }
  return [...families.values()].map(({ head, lines }) => `${head}\n${lines.join("\n")}\n`).join("")
}
