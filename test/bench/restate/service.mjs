/** The worker: a workflow of two steps that do nothing, which the server calls. ADDRESS is `host:port`. */
import { createServer } from "node:http2"
import * as restate from "@restatedev/restate-sdk"

const bench = restate.workflow({
  name: "Bench",
  handlers: {
    run: async (context) => {
      const first = await context.run("first", () => ({ step: 1, ok: true }))
      const second = await context.run("second", () => ({ step: 2, ok: true }))
      return { first: first.step, second: second.step }
    }
  }
})
const [host, port] = process.env.ADDRESS.split(":")
process.once("disconnect", () => process.exit(0))
createServer(
  restate.createEndpointHandler({
    services: [bench],
    logger: (meta, message, ...more) => {
      if (meta.level === "error") console.error(message, ...more)
    }
  })
).listen(Number(port), host)
