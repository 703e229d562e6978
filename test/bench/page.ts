/** `docs/performance.md` and its plots, from the figures that `make bench` kept. */
import { asked } from "./asked.ts"
import type { Load } from "./engines/Engine.ts"
import { type Group, plot } from "./plot.ts"
import { figure, type Piece, read, type Sample, type What } from "./results.ts"
import { section as starts } from "./starts-page.ts"
import { dbosLocal, restate, suites } from "./suites.ts"
import { median } from "./world.ts"

const samplesOf = (pieces: ReadonlyArray<Piece>) => pieces.flatMap(({ samples }) => samples)
const namesOf = (suite: string) => suites[suite]!.engines.map(({ name }) => name)
const table = (head: ReadonlyArray<string>, rows: ReadonlyArray<ReadonlyArray<string>>) =>
  [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`).join("\n")
const shown = (value: number | undefined, digits = 0) => (value === undefined ? "–" : value.toFixed(digits))

/** How often each engine got each load: not all did equally often where a suite was measured in pieces. */
const roundsOf = (samples: ReadonlyArray<Sample>) => {
  const counts = new Map<string, number>()
  for (const { engine, inFlight, steps, bytes } of samples) {
    const key = `${engine}/${inFlight}/${steps}/${bytes}`
    counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  const [least, most] = [Math.min(...counts.values()), Math.max(...counts.values())]
  return least === most ? `${most} ${most === 1 ? "round" : "rounds"}` : `${least} to ${most} rounds`
}

/** Under which circumstances the figures of a suite were taken. */
const taken = (pieces: ReadonlyArray<Piece>): string => {
  const all = (key: "day" | "command" | "machine" | "commit") =>
    [...new Set(pieces.map(({ about }) => about[key]))].join(", ")
  const others = Math.max(...samplesOf(pieces).map((sample) => sample.others)).toFixed(2)
  return `_${all("day")}, commit ${all("commit")}: \`${all("command")}\`, ${roundsOf(samplesOf(pieces))}; other work had at most ${others} processors meanwhile. ${all("machine")}._`
}

const bars = (
  samples: ReadonlyArray<Sample>,
  names: ReadonlyArray<string>,
  load: Partial<Load>,
  what: What = "perSecond"
) =>
  names.flatMap((name) => {
    const value = figure(samples, name, load, what)
    return value === undefined ? [] : [{ name, value }]
  })

/** How many times as fast as the other one. */
const timesOf = (samples: ReadonlyArray<Sample>, name: string, other: string, load: Partial<Load>) => {
  const [own, others] = [name, other].map((each) => figure(samples, each, load, "perSecond"))
  return own === undefined || others === undefined ? "–" : (own / others).toFixed(2)
}

const plots = new Map<string, string>()
/** Registers a plot and answers the line that shows it. */
const picture = (name: string, title: string, groups: ReadonlyArray<Group>) => {
  plots.set(
    `${name}.svg`,
    plot(
      title,
      groups,
      "Medians. Longer is faster, unless said otherwise. Made by make bench-page from the kept figures."
    )
  )
  return `![${title}](performance/${name}.svg)`
}

const engines = () => {
  const pieces = read("engines")
  const samples = samplesOf(pieces)
  if (samples.length === 0) return []
  const names = namesOf("engines").filter((name) => figure(samples, name, { inFlight: 50 }, "perSecond") !== undefined)
  const floors = pieces.flatMap(({ about }) => about.floors)
  const floor = floors.length === 0 ? undefined : median(floors)
  const rows = names.map((name) => {
    const of = (inFlight: number, what: What) => figure(samples, name, { inFlight }, what)
    const perSecond = of(50, "perSecond")
    const rounds = samples
      .filter((sample) => sample.engine === name && sample.inFlight === 50)
      .map((sample) => sample.perSecond)
    return [
      name,
      `${shown(perSecond)} (${shown(Math.min(...rounds))}–${shown(Math.max(...rounds))})`,
      timesOf(samples, name, dbosLocal.name, { inFlight: 50 }),
      timesOf(samples, name, restate.name, { inFlight: 50 }),
      floor === undefined || perSecond === undefined ? "–" : `${((100 * perSecond) / floor).toFixed(0)} %`,
      `${shown(of(1, "p50"), 1)} / ${shown(of(1, "p99"), 1)}`,
      shown(of(500, "perSecond")),
      `${shown(of(500, "p50"))} / ${shown(of(500, "p99"))}`,
      shown(of(50, "statements"), 2),
      `${shown(of(50, "workerMs"), 1)} / ${shown(of(50, "driverMs"), 1)} / ${shown(of(50, "serverMs"), 1)}`
    ]
  })
  return [
    "## Engines",
    "",
    taken(pieces),
    "",
    picture(
      "engines",
      "Completed workflows a second, 2 steps",
      [50, 500, 1].map((inFlight) => ({ title: `${inFlight} in flight`, bars: bars(samples, names, { inFlight }) }))
    ),
    "",
    picture("latency", "Median latency in ms with one workflow in flight (shorter is better)", [
      { title: "", bars: bars(samples, names, { inFlight: 1 }, "p50") }
    ]),
    "",
    table(
      [
        "Engine",
        "workflows/s, 50 in flight (slowest–fastest round)",
        "to DBOS, one process",
        "to Restate",
        "share of the floor",
        "p50 / p99 alone, ms",
        "workflows/s, 500 in flight",
        "p50 / p99 at 500, ms",
        "statements a workflow",
        "CPU worker / client / server, ms a workflow"
      ],
      rows
    ),
    "",
    floor === undefined
      ? "pgbench was not installed, so there is no floor."
      : `The floor: pgbench, 50 connections, four single-row transactions a round, ${floor.toFixed(0)} rounds a second: as much as an engine without batches could write at most.`,
    ""
  ]
}

const varied = (
  suite: "steps" | "payload",
  title: string,
  about: string,
  key: "steps" | "bytes",
  label: (value: number) => string
) => {
  const pieces = read(suite)
  const samples = samplesOf(pieces)
  if (samples.length === 0) return []
  const names = namesOf(suite).filter((name) => figure(samples, name, {}, "perSecond") !== undefined)
  const values = suites[suite]!.loads.map((load) => load[key])
  return [
    `## ${title}`,
    "",
    about,
    "",
    taken(pieces),
    "",
    picture(
      suite,
      `Completed workflows a second, 50 in flight, by ${title.toLowerCase()}`,
      values.map((value) => ({ title: label(value), bars: bars(samples, names, { [key]: value }) }))
    ),
    "",
    table(
      ["Engine: workflows/s (p50 / p99 ms), times Restate's", ...values.map(label)],
      names.map((name) => [
        name,
        ...values.map((value) => {
          const of = (what: What) => figure(samples, name, { [key]: value }, what)
          const ofRestate = timesOf(samples, name, restate.name, { [key]: value })
          return `${shown(of("perSecond"))} (${shown(of("p50"))} / ${shown(of("p99"))}), ${ofRestate}`
        })
      ])
    ),
    ""
  ]
}

const growth = () => {
  const pieces = read("growth")
  const samples = samplesOf(pieces)
  if (samples.length === 0) return []
  return [
    "## Growth",
    "",
    "The same with 10⁶ finished executions in the tables: 10⁶ messages, as many replies, 2·10⁶ steps. `deliver engine prune` and the runners remove finished ones after their tenant's window.",
    "",
    taken(pieces),
    "",
    picture("growth", "Completed workflows a second, 50 in flight, with empty tables and with 10⁶ finished", [
      { title: "", bars: bars(samples, namesOf("growth"), { inFlight: 50 }) }
    ]),
    "",
    table(
      ["", "workflows/s, 50 in flight", "p50 / p99 alone, ms", "CPU of Postgres, ms a workflow"],
      namesOf("growth").map((name) => {
        const of = (inFlight: number, what: What) => figure(samples, name, { inFlight }, what)
        return [
          name,
          shown(of(50, "perSecond")),
          `${shown(of(1, "p50"), 1)} / ${shown(of(1, "p99"), 1)}`,
          shown(of(50, "serverMs"), 2)
        ]
      })
    ),
    ""
  ]
}

const steady = () => {
  const pieces = read("steady")
  const samples = samplesOf(pieces)
  if (samples.length === 0) return []
  const names = namesOf("steady").filter((name) => figure(samples, name, {}, "perSecond") !== undefined)
  const flights = suites["steady"]!.loads.map(({ inFlight }) => inFlight)
  return [
    "## Steady state",
    "",
    "Loads of 18 s, begun after 12 s of the same with 50 in flight: what is dropped, collected or cleaned up some time after an execution has ended is under way throughout. The slowest second is the one in which the fewest workflows were completed.",
    "",
    taken(pieces),
    "",
    picture(
      "steady",
      "Completed workflows a second in steady state, and in the slowest second",
      flights.flatMap((inFlight) => [
        { title: `${inFlight} in flight`, bars: bars(samples, names, { inFlight }) },
        { title: `${inFlight} in flight, slowest second`, bars: bars(samples, names, { inFlight }, "slowestSecond") }
      ])
    ),
    "",
    table(
      [
        "Engine",
        "in flight",
        "workflows/s",
        "to DBOS, one process",
        "to Restate",
        "slowest second",
        "p50 / p99, ms",
        "CPU, all processes, ms a workflow",
        "largest Node process so far, MB"
      ],
      flights.flatMap((inFlight) =>
        names.map((name) => {
          const of = (what: What) => figure(samples, name, { inFlight }, what)
          const cpu = (["workerMs", "driverMs", "serverMs"] as const).map((what) => of(what) ?? 0)
          const to = (other: { readonly name: string }) => timesOf(samples, name, other.name, { inFlight })
          return [
            name,
            String(inFlight),
            shown(of("perSecond")),
            to(dbosLocal),
            to(restate),
            shown(of("slowestSecond")),
            `${shown(of("p50"))} / ${shown(of("p99"))}`,
            cpu.reduce((sum, each) => sum + each).toFixed(2),
            shown(of("residentMb"))
          ]
        })
      )
    ),
    ""
  ]
}

const memory = () => {
  const pieces = read("memory")
  const samples = samplesOf(pieces)
  if (samples.length === 0) return []
  const names = namesOf("memory").filter((name) => figure(samples, name, {}, "perSecond") !== undefined)
  const of = (name: string, what: What) => figure(samples, name, {}, what)
  const share = (name: string) => {
    const [collecting, all] = [of(name, "gcMs"), of(name, "driverMs")]
    return collecting === undefined || all === undefined ? undefined : (100 * collecting) / all
  }
  return [
    "## Memory",
    "",
    "One process, 50 in flight, by the size of the semi-space (`--max-semi-space-size`). Young objects live there: when it is full they are copied or dropped, and what is copied twice is old. `k8s/base/runner` sets 64 MB.",
    "Allocated is what the heap of V8 grew between collections; collecting is the time in which collections held the process up. What they do beside it on other threads is in the CPU time alone.",
    "",
    taken(pieces),
    "",
    picture("memory", "Allocated, KB a workflow, and collecting, % of the CPU time (shorter is better)", [
      {
        title: "allocated, KB a workflow, semi-space of 64 MB",
        bars: bars(samples, names, {}, "allocatedKb").filter(({ name }) => name.endsWith(" 64 MB"))
      },
      {
        title: "collecting, % of the CPU time",
        bars: names.flatMap((name) => {
          const value = share(name)
          return value === undefined ? [] : [{ name, value }]
        })
      }
    ]),
    "",
    table(
      [
        "Engine, semi-space",
        "workflows/s",
        "allocated, KB a workflow",
        "collecting, ms a workflow",
        "CPU, ms a workflow",
        "collecting, % of the CPU time",
        "resident at most, MB"
      ],
      names.map((name) => [
        name,
        shown(of(name, "perSecond")),
        shown(of(name, "allocatedKb")),
        shown(of(name, "gcMs"), 3),
        shown(of(name, "driverMs"), 2),
        shown(share(name), 1),
        shown(of(name, "residentMb"))
      ])
    ),
    ""
  ]
}

const allocations = () => {
  const pieces = read("allocations")
  const samples = samplesOf(pieces)
  if (samples.length === 0) return []
  const names = namesOf("allocations").filter((name) => figure(samples, name, {}, "perSecond") !== undefined)
  const of = (name: string, owner: string) => {
    const all = samples.filter((sample) => sample.engine === name && sample.allocatedBy !== undefined)
    return median(all.map(({ allocatedBy }) => allocatedBy?.[owner] ?? 0))
  }
  const owners = [...new Set(samples.flatMap(({ allocatedBy }) => Object.keys(allocatedBy ?? {})))].toSorted(
    (one, other) => of(names.at(-1) ?? "", other) - of(names.at(-1) ?? "", one)
  )
  const shownOwners = owners.filter((owner) => names.some((name) => of(name, owner) >= 1))
  const total = (name: string) => owners.reduce((sum, owner) => sum + of(name, owner), 0)
  return [
    "## What allocates",
    "",
    "KB that a workflow allocates, by the package of the function that does: V8 notes one allocation in 256 KB, those that were collected as well. One process, 50 in flight.",
    "",
    taken(pieces),
    "",
    picture("allocations", "Allocated, KB a workflow (shorter is better)", [
      { title: "", bars: names.map((name) => ({ name, value: total(name) })) }
    ]),
    "",
    table(
      ["", ...names],
      [
        ...shownOwners.map((owner) => [`\`${owner}\``, ...names.map((name) => shown(of(name, owner)))]),
        ["all", ...names.map((name) => shown(total(name)))]
      ]
    ),
    ""
  ]
}

const text = () =>
  [
    "# Performance",
    "",
    "Written by `make bench-page` from the figures in `docs/performance/*.json`, which `make bench SUITE=NAME` measures and keeps. Absolute figures are this machine's, whose two processors the",
    "client, the runners and Postgres share; ratios are what to look at. Engines are started, warmed, measured and ended in turn, round by round; figures are medians of the rounds. What was measured while other work had more than half a processor is left out.",
    `Each load lasts some seconds: of what comes some time after an execution has ended (the library takes its entity down ten seconds later, and old objects are collected) there is little in these figures${read("steady").length === 0 ? "." : ', and all of it in those of "Steady state".'}`,
    "",
    "A workflow has two steps that do nothing, unless said otherwise, and is started and awaited. `one process`: the client is in the worker's process. `ours` has `MESSAGE_STORAGE=group` and `STEP_ENGINE=journal`: group",
    "commit and the journal of steps; `without journal` has group commit alone; `stock Effect` has the library's own storage and engine. Restate keeps a log of its own and not Postgres. Every Node process has `--max-semi-space-size=32`, as runners have. `test/bench/engines/Engine.ts` says how each is started.",
    "",
    ...(Object.keys(suites).some((suite) => read(suite).length > 0)
      ? []
      : [
          "**No figures are kept yet.** They count only when nothing else is at work on the machine; `make bench` says of each measurement how much else was, and leaves it out.",
          ""
        ]),
    ...asked({ engines: samplesOf(read("engines")), growth: samplesOf(read("growth")) }),
    ...engines(),
    ...steady(),
    ...varied("steps", "Steps", "Workflows of more steps, one after the other.", "steps", (value) => `${value} steps`),
    ...varied(
      "payload",
      "Payload",
      "What a workflow is started with, and what each of its two steps returns, has this size.",
      "bytes",
      (value) => `${value / 1000} KB`
    ),
    ...growth(),
    ...memory(),
    ...allocations(),
    ...starts(),
    "## Where the time goes",
    "",
    "A CPU profile of one process under this load, to open in Chromium's developer tools or to sum up by function:",
    "",
    "```sh",
    "NODE_OPTIONS='--cpu-prof --cpu-prof-dir=/tmp/profiles' make bench ONLY='ours, one process' ROUNDS=1 SECONDS=10 KEEP=no",
    "node test/bench/profile.ts /tmp/profiles   # self time by function and by package, of the busiest process",
    "make bench SUITE=allocations ROUNDS=1 KEEP=no TOP=40   # what allocates: the first 40 functions",
    "```",
    "",
    "How soon work goes on after a kill, a stop, a freeze or a lost database, how late durable sleeps end, and how long the first call of a fresh process takes is measured by `make takeover`.",
    ""
  ].join("\n")

/** What is to be written where. */
export const pages = (): ReadonlyMap<string, string> => {
  plots.clear()
  const written = new Map([["docs/performance.md", text()]])
  for (const [name, svg] of plots) written.set(`docs/performance/${name}`, svg)
  return written
}
