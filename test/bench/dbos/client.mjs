/** DBOS as a client: puts workflows into the worker's queue and asks for their results each 50 ms; the default is each second. */
import { DBOSClient } from "@dbos-inc/dbos-sdk"
import { serve } from "../engines/drive.mjs"

const QUEUE = "bench"
const NAME = "bench"
const client = await DBOSClient.create({
  systemDatabaseUrl: process.env.DATABASE_URL,
  systemDatabasePoolSize: Number(process.env.DATABASE_POOL_MAX)
})
await serve(async (id, work) => {
  const handle = await client.enqueue({ queueName: QUEUE, workflowName: NAME, workflowID: id }, work)
  return handle.getResult({ pollingIntervalMs: 50 })
})
