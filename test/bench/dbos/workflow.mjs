/** DBOS: a workflow of steps that do nothing, in a process that carries it out. */
import { DBOS } from "@dbos-inc/dbos-sdk"

const step = (number, text) => () => Promise.resolve({ step: number, ok: true, text })

const NAME = "bench"
export const QUEUE = "bench"
export const workflow = DBOS.registerWorkflow(
  async ({ steps, text }) => {
    let done = 0
    for (let number = 1; number <= steps; number++) {
      done += (await DBOS.runStep(step(number, text), { name: `step-${number}` })).ok ? 1 : 0
    }
    return { done }
  },
  { name: NAME }
)

export const launch = async () => {
  DBOS.setConfig({
    name: "bench",
    systemDatabaseUrl: process.env.DATABASE_URL,
    // As many connections as a runner of ours has.
    systemDatabasePoolSize: Number(process.env.DATABASE_POOL_MAX),
    logLevel: "warn"
  })
  await DBOS.launch()
}
