/** The worker: a workflow of steps that do nothing, which the server calls. ADDRESS is `host:port`. */
import { createServer } from "node:http2"
import * as restate from "@restatedev/restate-sdk"

const bench = restate.workflow({
  name: "Bench",
  handlers: {
    run: async (context, { steps, text }) => {
      let done = 0
      for (let number = 1; number <= steps; number++) {
        done += (await context.run(`step-${number}`, () => ({ step: number, ok: true, text }))).ok ? 1 : 0
      }
      return { done }
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
