/**
 * The load, the same for every engine: so many workflows in flight, each awaited and followed by the next.
 *
 * An engine's driver is a process of its own that calls `serve(start)` once it is ready. Over IPC it is told
 * `{ inFlight, seconds, steps, bytes, times }` and answers `{ completed, seconds, latenciesMs, endedAt, allocated, gcMs }`; `endedAt`
 * is there where `times` was asked for, the last two are of this process alone, and asked for by `GC=1`, since counting costs
 * something; `ALLOCATIONS=1` asks which packages and functions allocated how many bytes. It is JavaScript, since engines in folders of their own bring no types.
 */
import { Session } from "node:inspector/promises"
import { GCProfiler } from "node:v8"

/** Bytes that were allocated between collections, and the time that these took. */
const counting = () => {
  if (process.env.GC !== "1") return () => ({})
  const profiler = new GCProfiler()
  profiler.start()
  return () => {
    const { statistics } = profiler.stop()
    let allocated = 0
    let micros = 0
    statistics.forEach(({ beforeGC, cost }, index) => {
      const last = statistics[index - 1]?.afterGC.heapStatistics.usedHeapSize
      if (last !== undefined) allocated += Math.max(0, beforeGC.heapStatistics.usedHeapSize - last)
      micros += cost
    })
    return { allocated, gcMs: micros / 1_000 }
  }
}

/** One sample in so many bytes: some thousand a second. */
const SAMPLING = 256 * 1024

const packageOf = (url) =>
  /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(url)?.[1] ??
  (url === "" ? "V8" : url.startsWith("node:") ? "Node" : "this repository")

/**
 * Bytes by the package of the function that allocated them. `--heap-prof` tells only of what still lives when the process ends; this
 * counts what was collected as well.
 */
const allocating = async () => {
  if (process.env.ALLOCATIONS !== "1") return () => ({})
  const session = new Session()
  session.connect()
  await session.post("HeapProfiler.startSampling", {
    samplingInterval: SAMPLING,
    includeObjectsCollectedByMajorGC: true,
    includeObjectsCollectedByMinorGC: true
  })
  return async () => {
    const { profile } = await session.post("HeapProfiler.stopSampling")
    session.disconnect()
    const byPackage = {}
    const byFunction = {}
    const add = ({ callFrame: { url, functionName, lineNumber }, selfSize, children }) => {
      const owner = packageOf(url)
      const name = `${functionName || "(anonymous)"} ${owner} ${url.split("/").at(-1)}:${lineNumber + 1}`
      byPackage[owner] = (byPackage[owner] ?? 0) + selfSize
      byFunction[name] = (byFunction[name] ?? 0) + selfSize
      children.forEach(add)
    }
    add(profile.head)
    return { byPackage, byFunction: Object.entries(byFunction).toSorted((one, other) => other[1] - one[1]) }
  }
}

/**
 * @param {(id: string, work: { steps: number, text: string }) => Promise<unknown>} start Starts the workflow and waits for its result.
 */
export const serve = async (start) => {
  const run = async ({ inFlight, seconds, steps, bytes, times }) => {
    const work = { steps, text: "x".repeat(bytes) }
    const latenciesMs = []
    const endedAt = []
    const allocated = await allocating()
    const counted = counting()
    const startedAt = performance.now()
    const until = startedAt + seconds * 1_000
    const client = async () => {
      while (performance.now() < until) {
        const before = performance.now()
        await start(crypto.randomUUID(), work)
        latenciesMs.push(performance.now() - before)
        if (times) endedAt.push(Date.now())
      }
    }
    await Promise.all(Array.from({ length: inFlight }, client))
    const lasted = (performance.now() - startedAt) / 1_000
    return {
      completed: latenciesMs.length,
      seconds: lasted,
      latenciesMs,
      ...(times ? { endedAt } : {}),
      ...counted(),
      ...(await allocated())
    }
  }
  process.on("message", (load) => {
    run(load).then(
      (measured) => process.send(measured),
      (error) => {
        console.error(error)
        process.exit(1)
      }
    )
  })
  process.once("disconnect", () => process.exit(0))
  await start(crypto.randomUUID(), { steps: 2, text: "" })
  process.send("ready")
}
