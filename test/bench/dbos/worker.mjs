/** DBOS as a worker: takes from a queue what clients put there. It asks each 50 ms; the default is each second. */
import { DBOS } from "@dbos-inc/dbos-sdk"
import { launch, QUEUE } from "./workflow.mjs"

process.once("disconnect", () => process.exit(0))
await launch()
await DBOS.registerQueue(QUEUE, { minPollingIntervalMs: 50 })
process.send("ready")
