/**
 * Reads one page of the public internet, and only that.
 *
 * The check of the address is in the lookup that the connection itself uses: a name that answers with a public address when it
 * is asked first and with a private one afterwards (DNS rebinding) finds no gap. Redirects are not followed: each would have to
 * pass the tenant's policy again.
 */
import { lookup as systemLookup } from "node:dns"
import { request as httpRequest } from "node:http"
import { request as httpsRequest } from "node:https"
import { BlockList, isIP, type LookupFunction } from "node:net"
import { Context, Effect, Layer } from "effect"

const MAX_BYTES = 65_536

const notPublic = new BlockList()
for (const [network, prefix] of [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  // Link-local, and the metadata servers of the clouds.
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4]
] as const) {
  notPublic.addSubnet(network, prefix, "ipv4")
}
// Unspecified and loopback, translated, private, link-local, multicast. IPv4 in IPv6's clothes falls under IPv4's rules.
for (const [network, prefix] of [
  ["::", 127],
  ["64:ff9b::", 96],
  ["fc00::", 7],
  ["fe80::", 10],
  ["ff00::", 8]
] as const) {
  notPublic.addSubnet(network, prefix, "ipv6")
}

export const isPublic = (address: string): boolean =>
  isIP(address) !== 0 && !notPublic.check(address, isIP(address) === 6 ? "ipv6" : "ipv4")

const REFUSED = "The address is not on the public internet."

const guarded =
  (allowed: (address: string) => boolean): LookupFunction =>
  (hostname, options, callback) => {
    systemLookup(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, "", 0)
      const [first] = addresses
      if (first === undefined || !addresses.every(({ address }) => allowed(address))) {
        return callback(new Error(REFUSED), "", 0)
      }
      if (options.all === true) callback(null, addresses)
      else callback(null, first.address, first.family)
    })
  }

export class Web extends Context.Tag("agent/Web")<
  Web,
  { readonly get: (url: URL, idempotencyKey: string) => Effect.Effect<string, string> }
>() {}

/** `allowed` is for tests, whose servers are on this machine. */
export const layer = (allowed: (address: string) => boolean = isPublic): Layer.Layer<Web> =>
  Layer.succeed(Web, {
    get: (url, idempotencyKey) =>
      Effect.async<string, string>((resume) => {
        const host = url.hostname.replace(/^\[|\]$/g, "")
        // A literal address is connected to without a lookup.
        if (isIP(host) !== 0 && !allowed(host)) return resume(Effect.fail(REFUSED))
        const send = url.protocol === "https:" ? httpsRequest : httpRequest
        const sent = send(url, {
          method: "GET",
          agent: false,
          lookup: guarded(allowed),
          headers: {
            accept: "text/*, application/json",
            "accept-encoding": "identity",
            "user-agent": "agents",
            "idempotency-key": idempotencyKey
          }
        })
        const fail = (why: string) => {
          sent.destroy()
          resume(Effect.fail(why))
        }
        sent.on("error", (error) => fail(error.message === REFUSED ? REFUSED : "The server could not be reached."))
        sent.on("response", (response) => {
          const status = response.statusCode ?? 0
          if (status >= 300 && status < 400) return fail("The server redirects elsewhere, which is not followed.")
          if (status !== 200) return fail(`The server answered ${status}.`)
          if (!/^(text\/|application\/(json|[\w.-]+\+json))/.test(response.headers["content-type"] ?? "")) {
            return fail("The answer is not text.")
          }
          let text = ""
          response.setEncoding("utf8")
          response.on("data", (chunk: string) => {
            text += chunk
            if (text.length > MAX_BYTES) fail(`The answer is longer than ${MAX_BYTES} characters.`)
          })
          response.on("end", () => resume(Effect.succeed(text)))
          response.on("error", () => fail("The answer broke off."))
        })
        sent.end()
        return Effect.sync(() => sent.destroy())
      })
  })
