/** What `interrupted.test.ts` presses Ctrl-C on: two targets of a cluster, something in each, and a hook that does not end. */
import { Effect, Fiber } from "effect"
import { run } from "../../src/bin/run.ts"
import { ExitCode } from "../../src/domain/ExitCode.ts"
import * as Context from "../../src/rehearsal/drivers/kubernetes/Context.ts"
import * as KubernetesDriver from "../../src/rehearsal/drivers/kubernetes/KubernetesDriver.ts"
import { make } from "../drivers/objects.ts"

const [prefix = "", stateFolder = "", image = ""] = process.argv.slice(2)

run(
  Effect.gen(function* () {
    const context = yield* Context.find(process.env["CLUSTER_CONTEXT"])
    const driver = yield* KubernetesDriver.make({
      context: context.name,
      stateFolder,
      namespace: (target) => `${prefix}-${target}`
    })
    const { job, statefulSet } = make(image)
    const [first, second] = [yield* driver.open("a"), yield* driver.open("b")]
    yield* second.apply([statefulSet({ replicas: 1 })])
    const hook = yield* Effect.fork(
      first.runJob(job("hang"), {
        timeoutMs: 600_000,
        env: { CLOUD_DEPLOY_TARGET: "a" },
        onLine: (line) => process.stdout.write(`${line}\n`)
      })
    )
    yield* Fiber.join(hook)
    return ExitCode.passed
  }).pipe(
    Effect.scoped,
    Effect.mapError(({ message }) => ({ message, exitCode: ExitCode.toolFailed }))
  )
)
