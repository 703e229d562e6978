/**
 * Gives a Node process the network of its pod. Loaded with `--import` into every Node process that the driver starts.
 *
 * - Names of the cluster resolve by the hosts file that the driver keeps; other names go to the system's resolver.
 * - A server that listens on all interfaces listens on the pod's address instead, so that three runners can all have port 50000.
 *
 * `net`, `http`, `tls` and `undici` (fetch) all look names up through the `dns` module's own `lookup` property at connect time, so
 * replacing that property is enough, also for bundled ES modules. Not covered, and not used by our code: `dns.resolve*`, `dgram`.
 */
import dns from "node:dns"
import { readFileSync, statSync } from "node:fs"
import { flushCompileCache, syncBuiltinESMExports } from "node:module"
import net from "node:net"

const address = process.env.PODNET_ADDRESS
const hostsPath = process.env.PODNET_HOSTS

/** @type {Map<string, Array<string>>} */
let names = new Map()
let seen = ""
let turn = 0

const table = () => {
  try {
    const { mtimeMs, ino, size } = statSync(hostsPath)
    const version = `${mtimeMs} ${ino} ${size}`
    if (version === seen) return names
    const read = new Map()
    for (const line of readFileSync(hostsPath, "utf8").split("\n")) {
      const [ip, name] = line.split(" ")
      if (name) read.set(name, [...(read.get(name) ?? []), ip])
    }
    names = read
    seen = version
  } catch {
    // The file is replaced by renaming, so it is missing only when the rehearsal is over.
  }
  return names
}

/** Addresses of a cluster name, [] for a cluster name that has none, undefined for a name of somewhere else. */
const resolve = (hostname) => {
  const name = hostname.toLowerCase().replace(/\.$/, "")
  const found = table().get(name)
  if (found) {
    turn += 1
    return found.map((_, index) => found[(index + turn) % found.length])
  }
  return name.endsWith(".cluster.local") || name.endsWith(".svc") ? [] : undefined
}

const notFound = (hostname) =>
  Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), {
    errno: -3008,
    code: "ENOTFOUND",
    syscall: "getaddrinfo",
    hostname
  })

const answer = (addresses, options) =>
  options.all ? addresses.map((ip) => ({ address: ip, family: 4 })) : { address: addresses[0], family: 4 }

const asOptions = (options) => (typeof options === "number" ? { family: options } : (options ?? {}))
const isIPv6Only = (options) => options.family === 6 || options.family === "IPv6"

const realLookup = dns.lookup
const lookup = (hostname, options, callback) => {
  const done = typeof options === "function" ? options : callback
  const wanted = typeof options === "function" ? {} : asOptions(options)
  const addresses = typeof hostname === "string" && typeof done === "function" ? resolve(hostname) : undefined
  if (addresses === undefined) return realLookup(hostname, options, callback)
  process.nextTick(() => {
    if (addresses.length === 0 || isIPv6Only(wanted)) return done(notFound(hostname))
    if (wanted.all) return done(null, answer(addresses, wanted))
    done(null, addresses[0], 4)
  })
  return {}
}
// `util.promisify(dns.lookup)` reads a symbol of the original to name its results.
for (const symbol of Object.getOwnPropertySymbols(realLookup)) lookup[symbol] = realLookup[symbol]

const realPromise = dns.promises.lookup
const lookupPromise = async (hostname, options) => {
  const addresses = typeof hostname === "string" ? resolve(hostname) : undefined
  if (addresses === undefined) return realPromise(hostname, options)
  const wanted = asOptions(options)
  if (addresses.length === 0 || isIPv6Only(wanted)) throw notFound(hostname)
  return answer(addresses, wanted)
}

const isEverywhere = (host) => host === undefined || host === null || host === "" || host === "0.0.0.0" || host === "::"

const realListen = net.Server.prototype.listen
const listen = function (...args) {
  const [first, second] = args
  if (first !== null && typeof first === "object") {
    // A path, a handle or a file descriptor has no address to change.
    const isPort = first.port !== undefined && first.path === undefined && first.fd === undefined
    if (isPort && isEverywhere(first.host)) args[0] = { ...first, host: address }
    return realListen.apply(this, args)
  }
  const isPath = typeof first === "string" && !/^\d+$/.test(first)
  if (isPath) return realListen.apply(this, args)
  const port = first === undefined || first === null || typeof first === "function" ? 0 : Number(first)
  const callback = args.findLast((argument) => typeof argument === "function")
  const backlog = args.slice(1).find((argument) => typeof argument === "number")
  const host = typeof second === "string" && !isEverywhere(second) ? second : address
  return realListen.call(
    this,
    { port, host, ...(backlog === undefined ? {} : { backlog }) },
    ...(callback ? [callback] : [])
  )
}

if (address && hostsPath) {
  dns.lookup = lookup
  dns.promises.lookup = lookupPromise
  net.Server.prototype.listen = listen
  syncBuiltinESMExports()
}

// Node writes its compile cache when a process ends by itself; pods are often killed. Once the modules are loaded is early enough.
if (process.env.NODE_COMPILE_CACHE) setTimeout(() => flushCompileCache?.(), 3000).unref()
