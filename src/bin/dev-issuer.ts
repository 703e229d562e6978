/**
 * An identity provider for `docker compose up`: real signatures, keys made at start. In no image that is released.
 *
 * `GET /jwks` is what the gateway reads; a token comes from the path of Google's metadata server (see `domain/DevIssuer.ts`).
 */
import { createServer } from "node:http"
import { Effect } from "effect"
import * as DevIssuer from "../domain/DevIssuer.ts"

const port = Number(process.env["HTTP_PORT"] ?? "8080")
const issuer = process.env["IDENTITY_ISSUER"] ?? `http://localhost:${port}`

const { handler } = await Effect.runPromise(
  DevIssuer.make({ issuer, subject: { tenant: "acme", subject: "developer", email: "developer@agents.test" } })
)
const server = createServer(handler)
server.listen(port, process.env["LISTEN_HOST"] ?? "0.0.0.0")
process.once("SIGTERM", () => server.close())
