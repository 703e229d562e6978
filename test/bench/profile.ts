/** Sums CPU profiles up: `node test/bench/profile.ts FOLDER`. Of the file with the most time at work: self time by package and by function. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

interface Profile {
  readonly nodes: ReadonlyArray<{
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }>
  readonly samples: ReadonlyArray<number>
  readonly timeDeltas: ReadonlyArray<number>
}

const [folder] = process.argv.slice(2)
if (folder === undefined) {
  process.stderr.write("Which folder holds the profiles? node test/bench/profile.ts FOLDER\n")
  process.exit(2)
}

/** Microseconds at work by (package, function); idle and the program's own time left out. */
const sum = (file: string) => {
  const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(file, "utf8")) as Profile
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const functions = new Map<string, number>()
  const packages = new Map<string, number>()
  let busy = 0
  samples.forEach((id, index) => {
    const frame = frames.get(id)
    if (frame === undefined || frame.functionName === "(idle)" || frame.functionName === "(program)") return
    const time = timeDeltas[index] ?? 0
    const owner =
      /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(frame.url)?.[1] ??
      (frame.url.startsWith("node:") ? "node" : frame.url === "" ? "engine" : "this repository")
    const place = frame.url === "" ? "" : ` ${frame.url.split("/").slice(-2).join("/")}:${frame.lineNumber + 1}`
    const name = `${frame.functionName || "(anonymous)"}${place}`
    functions.set(name, (functions.get(name) ?? 0) + time)
    packages.set(owner, (packages.get(owner) ?? 0) + time)
    busy += time
  })
  return { file, busy, functions, packages }
}

const all = readdirSync(folder)
  .filter((name) => name.endsWith(".cpuprofile"))
  .map((name) => sum(join(folder, name)))
  .toSorted((one, other) => other.busy - one.busy)
const [busiest] = all
if (busiest === undefined) {
  process.stderr.write(
    `There is no .cpuprofile in ${folder}: run with NODE_OPTIONS='--cpu-prof --cpu-prof-dir=${folder}'.\n`
  )
  process.exit(12)
}
const print = (title: string, times: ReadonlyMap<string, number>, most: number) => {
  process.stdout.write(`\n${title}\n`)
  for (const [name, time] of [...times].toSorted((one, other) => other[1] - one[1]).slice(0, most)) {
    process.stdout.write(`${((100 * time) / busiest.busy).toFixed(1).padStart(6)} %  ${name}\n`)
  }
}
process.stdout.write(`${busiest.file}: ${(busiest.busy / 1e6).toFixed(1)} s at work\n`)
print("by package", busiest.packages, 12)
print("by function", busiest.functions, 40)
