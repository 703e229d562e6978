/**
 * The load, the same for every engine: so many workflows in flight, each awaited and followed by the next.
 *
 * An engine's driver is a process of its own that calls `serve(start)` once it is ready. Over IPC it is told
 * `{ inFlight, seconds, steps, bytes, times }` and answers `{ completed, seconds, latenciesMs, endedAt, allocated, gcMs }`; `endedAt`
 * is there where `times` was asked for, the last two are of this process alone, and asked for by `GC=1`, since counting costs
 * something. It is JavaScript, since engines in folders of their own bring no types.
 */
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

/**
 * @param {(id: string, work: { steps: number, text: string }) => Promise<unknown>} start Starts the workflow and waits for its result.
 */
export const serve = async (start) => {
  const run = async ({ inFlight, seconds, steps, bytes, times }) => {
    const work = { steps, text: "x".repeat(bytes) }
    const latenciesMs = []
    const endedAt = []
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
    return {
      completed: latenciesMs.length,
      seconds: (performance.now() - startedAt) / 1_000,
      latenciesMs,
      ...(times ? { endedAt } : {}),
      ...counted()
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
