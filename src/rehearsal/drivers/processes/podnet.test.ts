/** The preload, from inside a process that has it. */
import { execFile } from "node:child_process"
import { mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { claimSubnet } from "../../net/Loopback.ts"

const program = (statements: string) => `
import dns, { lookup } from "node:dns"
import { lookup as lookupPromise } from "node:dns/promises"
import { renameSync, writeFileSync } from "node:fs"
import http from "node:http"
import net from "node:net"
import { promisify } from "node:util"
const out = {}
const listening = (server) => new Promise((resolve, reject) => { server.once("error", reject); server.once("listening", () => { const at = server.address(); server.close(); resolve(typeof at === "string" ? "path" : at.address) }) })
${statements}
console.log(JSON.stringify(out))
`

const inPod = (statements: string) =>
  Effect.gen(function* () {
    const subnet = yield* claimSubnet
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "podnet-"))),
      (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
    )
    const hosts = join(folder, "hosts")
    writeFileSync(
      `${hosts}.new`,
      "127.9.9.1 many.svc\n127.9.9.2 many.svc\n127.9.9.3 one.runners.agents.svc.cluster.local\n"
    )
    renameSync(`${hosts}.new`, hosts)
    writeFileSync(join(folder, "main.mjs"), program(statements))
    const address = subnet.address(60)
    const { stdout } = yield* Effect.tryPromise(() =>
      promisify(execFile)(
        process.execPath,
        ["--import", new URL("podnet.mjs", import.meta.url).href, join(folder, "main.mjs")],
        {
          env: { PODNET_ADDRESS: address, PODNET_HOSTS: hosts, FOLDER: folder }
        }
      )
    )
    return { address, out: JSON.parse(stdout) }
  })

it.scopedLive("listens on the pod's address where a server asked for all addresses, however it asked", () =>
  Effect.gen(function* () {
    const { address, out } = yield* inPod(`
      const server = () => net.createServer()
      out.port = await listening(server().listen(0))
      out.nothing = await listening(server().listen())
      out.zero = await listening(server().listen(0, "0.0.0.0"))
      out.six = await listening(server().listen(0, "::"))
      out.backlog = await listening(server().listen(0, "0.0.0.0", 511, () => {}))
      out.options = await listening(server().listen({ port: 0, host: "0.0.0.0" }))
      out.http = await listening(http.createServer().listen(0))
      out.explicit = await listening(server().listen(0, "127.0.0.1"))
      out.path = await listening(server().listen(process.env.FOLDER + "/socket"))
      out.pathOption = await listening(server().listen({ path: process.env.FOLDER + "/socket2" }))
      out.called = await new Promise((resolve) => { const s = server(); s.listen(0, () => { s.close(); resolve(true) }) })
    `)
    expect(out).toEqual({
      port: address,
      nothing: address,
      zero: address,
      six: address,
      backlog: address,
      options: address,
      http: address,
      explicit: "127.0.0.1",
      path: "path",
      pathOption: "path",
      called: true
    })
  })
)

it.scopedLive("answers lookups in every form, and sees the hosts file change", () =>
  Effect.gen(function* () {
    const { out } = yield* inPod(`
      const name = "one.runners.agents.svc.cluster.local"
      out.callback = await new Promise((resolve) => lookup(name, (error, address, family) => resolve([error, address, family])))
      out.promise = await lookupPromise(name)
      out.promisified = await promisify(dns.lookup)(name, { family: 4 })
      out.all = (await lookupPromise("many.svc", { all: true })).map(({ address }) => address).sort()
      const firsts = new Set()
      for (let round = 0; round < 4; round++) firsts.add((await lookupPromise("many.svc")).address)
      out.spread = firsts.size
      out.unknown = await lookupPromise("two.runners.agents.svc.cluster.local").catch((error) => error.code)
      out.six = await lookupPromise(name, { family: 6 }).catch((error) => error.code)
      out.elsewhere = (await lookupPromise("localhost", { family: 4 })).address
      writeFileSync(process.env.PODNET_HOSTS + ".new", "127.9.9.9 two.runners.agents.svc.cluster.local\\n")
      renameSync(process.env.PODNET_HOSTS + ".new", process.env.PODNET_HOSTS)
      out.added = (await lookupPromise("two.runners.agents.svc.cluster.local")).address
      out.removed = await lookupPromise(name).catch((error) => error.code)
    `)
    expect(out).toEqual({
      callback: [null, "127.9.9.3", 4],
      promise: { address: "127.9.9.3", family: 4 },
      promisified: { address: "127.9.9.3", family: 4 },
      all: ["127.9.9.1", "127.9.9.2"],
      spread: 2,
      unknown: "ENOTFOUND",
      six: "ENOTFOUND",
      elsewhere: "127.0.0.1",
      added: "127.9.9.9",
      removed: "ENOTFOUND"
    })
  })
)
