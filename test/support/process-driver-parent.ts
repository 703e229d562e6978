/** A rehearsal to be killed: opens a cluster, prints the process ids of its pods as one JSON line, and stays. */
import { readFileSync } from "node:fs"
import { join } from "node:path"
import { Effect } from "effect"
import { statefulSet, testDriver } from "./processes.ts"

const program = Effect.gen(function* () {
  const { driver, folder } = yield* testDriver()
  const cluster = yield* driver.open("dev")
  const objects = [statefulSet({ env: { STUBBORN: "1", STRAY: "1" }, replicas: 2 })]
  yield* cluster.apply(objects)
  yield* cluster.awaitRollout(objects, { deadlineMs: 20_000 })
  const pods = yield* cluster.pods
  const strays = pods.map(({ name }) =>
    Number(/stray (\d+)/.exec(readFileSync(join(cluster.logFolder, `${name}_app.log`), "utf8"))?.[1])
  )
  const pids = pods.map(({ pid }) => pid)
  // A frozen process can't notice anything by itself.
  if (pids[0] !== undefined) process.kill(pids[0], "SIGSTOP")
  console.log(JSON.stringify({ folder, pids: [...pids, ...strays] }))
  yield* Effect.never
})

Effect.runFork(Effect.scoped(program))
