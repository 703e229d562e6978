/** What was asked of the runtime's speed, and what the kept figures say. */
import type { Load } from "./engines/Engine.ts"
import { figure, type Sample } from "./results.ts"
import { dbosLocal, dbosRemote, grown, grownRemote, local, remote, restate, three } from "./suites.ts"

interface Kept {
  readonly engines: ReadonlyArray<Sample>
  readonly growth: ReadonlyArray<Sample>
}
interface Asked {
  readonly what: string
  readonly bound: string
  readonly value: number | undefined
  readonly holds: (value: number) => boolean
  readonly shown: (value: number) => string
}

const times = (value: number) => `${value.toFixed(2)} ×`
const ms = (value: number) => `${value.toFixed(1)} ms`
const over = (one: number | undefined, other: number | undefined) =>
  one === undefined || other === undefined ? undefined : one / other

const rows = ({ engines, growth }: Kept): ReadonlyArray<Asked> => {
  const at = (samples: ReadonlyArray<Sample>, { name }: { readonly name: string }, load: Partial<Load>) => ({
    perSecond: figure(samples, name, load, "perSecond"),
    p50: figure(samples, name, load, "p50"),
    p99: figure(samples, name, load, "p99"),
    statements: figure(samples, name, load, "statements")
  })
  const many = { inFlight: 50 }
  const one = { inFlight: 1 }
  const ratio = (what: string, bound: number, value: number | undefined): Asked => ({
    what,
    bound: `≥ ${bound} ×`,
    value,
    holds: (seen) => seen >= bound,
    shown: times
  })
  const most = (what: string, bound: number, value: number | undefined, shown: (seen: number) => string): Asked => ({
    what,
    bound: `≤ ${shown(bound)}`,
    value,
    holds: (seen) => seen <= bound,
    shown
  })
  const perSecond = (engine: { readonly name: string }) => at(engines, engine, many).perSecond
  return [
    ratio("client and runner, 50 in flight, to Restate", 1.2, over(perSecond(remote), perSecond(restate))),
    ratio(
      "client and runner, 50 in flight, to DBOS with 50 ms polls",
      1.5,
      over(perSecond(remote), perSecond(dbosRemote))
    ),
    ratio("one process, 50 in flight, to DBOS in one process", 1.4, over(perSecond(local), perSecond(dbosLocal))),
    most("statements a workflow, client and runner, 50 in flight", 1, at(engines, remote, many).statements, (seen) =>
      seen.toFixed(2)
    ),
    most("p50 alone, one process", 6, at(engines, local, one).p50, ms),
    most("p99 to p50 alone, one process", 3, over(at(engines, local, one).p99, at(engines, local, one).p50), times),
    most("p50 alone, client and runner", 9, at(engines, remote, one).p50, ms),
    most(
      "p99 to p50 alone, client and runner",
      3,
      over(at(engines, remote, one).p99, at(engines, remote, one).p50),
      times
    ),
    ratio("three runners to one, on the same processors", 0.85, over(perSecond(three), perSecond(remote))),
    ratio(
      "10⁶ finished executions to empty tables, one process",
      0.9,
      over(at(growth, grown, many).perSecond, at(growth, local, many).perSecond)
    ),
    ratio(
      "10⁶ finished executions to empty tables, client and runner",
      0.9,
      over(at(growth, grownRemote, many).perSecond, at(growth, remote, many).perSecond)
    )
  ]
}

export const asked = (kept: Kept): ReadonlyArray<string> => [
  "## What is asked, and what was measured",
  "",
  "| | asked | measured | |",
  "| --- | --- | --- | --- |",
  ...rows(kept).map(({ what, bound, value, holds, shown }) =>
    value === undefined
      ? `| ${what} | ${bound} | not measured | |`
      : `| ${what} | ${bound} | ${shown(value)} | ${holds(value) ? "holds" : "**missed**"} |`
  ),
  ""
]
