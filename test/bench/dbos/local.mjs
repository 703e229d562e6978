/** DBOS in one process, which starts, carries out and awaits its workflows. */
import { DBOS } from "@dbos-inc/dbos-sdk"
import { serve } from "../engines/drive.mjs"
import { launch, workflow } from "./workflow.mjs"

await launch()
await serve(async (id, work) => (await DBOS.startWorkflow(workflow, { workflowID: id })(work)).getResult())
