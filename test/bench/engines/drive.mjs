/**
 * The load, the same for every engine: so many workflows in flight, each awaited and followed by the next.
 *
 * An engine's driver is a process of its own that calls `serve(start)` once it is ready. Over IPC it is told
 * `{ inFlight, seconds }` and answers `{ completed, seconds, latenciesMs }`. It is JavaScript, since engines in folders of
 * their own bring no types.
 */

/**
 * @param {(id: string) => Promise<unknown>} start Starts the workflow and waits for its result.
 */
export const serve = async (start) => {
  const run = async (inFlight, seconds) => {
    const latenciesMs = []
    const startedAt = performance.now()
    const until = startedAt + seconds * 1_000
    const client = async () => {
      while (performance.now() < until) {
        const before = performance.now()
        await start(crypto.randomUUID())
        latenciesMs.push(performance.now() - before)
      }
    }
    await Promise.all(Array.from({ length: inFlight }, client))
    return { completed: latenciesMs.length, seconds: (performance.now() - startedAt) / 1_000, latenciesMs }
  }
  process.on("message", ({ inFlight, seconds }) => {
    run(inFlight, seconds).then(
      (measured) => process.send(measured),
      (error) => {
        console.error(error)
        process.exit(1)
      }
    )
  })
  process.once("disconnect", () => process.exit(0))
  await start(crypto.randomUUID())
  process.send("ready")
}
