/**
 * Restate with its own log, which it keeps with fsync: a server, a worker that is told of it here, and this client, which
 * starts and awaits by one call. INGRESS, ADMIN and WORKER are
 * `host:port`.
 */
import { serve } from "../engines/drive.mjs"

const { INGRESS, ADMIN, WORKER } = process.env
const LIMIT = 30_000

const until = async (what, ask) => {
  const end = Date.now() + LIMIT
  for (;;) {
    const answer = await ask().catch((error) => error)
    if (answer instanceof Response && answer.ok) return
    if (Date.now() > end) {
      const seen = answer instanceof Response ? `${answer.status} ${await answer.text()}` : answer
      throw new Error(`Restate: ${what} was not done within ${LIMIT} ms: ${seen}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

await until("the registration of the worker", () =>
  fetch(`http://${ADMIN}/deployments`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ uri: `http://${WORKER}`, force: true })
  })
)
const call = (id, work) =>
  fetch(`http://${INGRESS}/Bench/${id}/run`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(work)
  })
const start = async (id, work) => {
  const answer = await call(id, work)
  if (!answer.ok) throw new Error(`Restate answered ${answer.status}: ${await answer.text()}`)
  return answer.json()
}
await until("a first workflow", () => call(crypto.randomUUID(), { steps: 2, text: "" }))
await serve(start)
