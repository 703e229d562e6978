/** DBOS in one process, which starts, carries out and awaits its workflows: two steps that do nothing. */
import { DBOS } from "@dbos-inc/dbos-sdk"
import { serve } from "../engines/drive.mjs"

const step = (number) => () => Promise.resolve({ step: number, ok: true })
const workflow = DBOS.registerWorkflow(
  async () => {
    const first = await DBOS.runStep(step(1), { name: "first" })
    const second = await DBOS.runStep(step(2), { name: "second" })
    return { first: first.step, second: second.step }
  },
  { name: "bench" }
)
DBOS.setConfig({
  name: "bench",
  systemDatabaseUrl: process.env.DATABASE_URL,
  // As many connections as a runner of ours has.
  systemDatabasePoolSize: Number(process.env.DATABASE_POOL_MAX),
  logLevel: "warn"
})
await DBOS.launch()
await serve(async (id) => (await DBOS.startWorkflow(workflow, { workflowID: id })()).getResult())
