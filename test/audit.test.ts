/** `make audit` against a registry of our own: an answer, none, and one with findings. */
import { execFile } from "node:child_process"
import { createServer } from "node:http"
import { join } from "node:path"
import { expect, it } from "vitest"
import { verdict } from "../tools/audit.ts"

const ran = (status: number, body: string) =>
  new Promise<{ readonly code: number; readonly output: string }>((resolve) => {
    const asked: Array<string> = []
    const server = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`)
      request.resume().on("end", () => response.writeHead(status, { "content-type": "application/json" }).end(body))
    }).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number }
      const env = { ...process.env, npm_config_registry: `http://127.0.0.1:${port}/`, npm_config_fetch_retries: "0" }
      execFile("node", [join(import.meta.dirname, "../tools/audit.ts")], { env }, (error, stdout, stderr) => {
        server.close()
        expect(asked.join()).toContain("POST /-/npm/v1/security/advisories/bulk")
        resolve({ code: Number(error?.code ?? 0), output: `${stdout}${stderr}` })
      })
    })
  })

it("passes when the registry knows of nothing, and says how many packages it asked about", async () => {
  const { code, output } = await ran(200, "{}")
  expect({ code, output }).toEqual({
    code: 0,
    output: expect.stringMatching(/^[1-9]\d+ packages: 0 critical findings/)
  })
}, 60_000)

it("says that nothing is known when the registry has no audit, and lets no build go on", async () => {
  const { code, output } = await ran(405, "")
  expect(code).toBe(12)
  expect(output).toMatch(/audit was not to be had: .*405[\s\S]*nothing is known/)
}, 60_000)

const report = (severity: string) =>
  JSON.stringify({
    vulnerabilities: {
      left: { severity, range: "<2.0.0", via: [{ title: "Runs what it is sent", url: "https://x.test/1", severity }] },
      right: { severity, range: "*", via: ["left"] }
    },
    metadata: {
      dependencies: { total: 240 },
      vulnerabilities: { critical: severity === "critical" ? 2 : 0, total: 2 }
    }
  })

it("refuses critical findings by name, and only mentions those below", () => {
  expect(verdict(report("critical"))).toEqual({
    exitCode: 10,
    says: expect.stringMatching(
      /240 packages: 2 critical[\s\S]*left <2\.0\.0: Runs what it is sent[\s\S]*right \*: through left/
    )
  })
  expect(verdict(report("high"))).toEqual({
    exitCode: 0,
    says: expect.stringContaining("0 critical findings, 2 below")
  })
})

it("takes no output, and what is no report, for no answer", () => {
  for (const output of ["", "npm error", '{"message":"getaddrinfo ENOTFOUND"}', "{}"]) {
    expect(verdict(output).exitCode, output).toBe(12)
  }
})
