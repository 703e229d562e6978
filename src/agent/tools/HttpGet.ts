/** Reads a page of a host that the tenant's policy names. */
import { Effect } from "effect"
import type { Tool } from "./Tool.ts"
import { Web } from "./Web.ts"

/** What a page may be asked with: a longer address could carry the conversation out. */
const MAX_LENGTH = 300

const readable = (input: string, hosts: ReadonlyArray<string>): URL | string => {
  if (input.length > MAX_LENGTH) return `An address has at most ${MAX_LENGTH} characters.`
  const url = URL.parse(input)
  if (url === null || (url.protocol !== "https:" && url.protocol !== "http:")) return "Not an http(s) address."
  // `https://good.example@evil.example` reads as the one and is the other.
  if (url.username !== "" || url.password !== "") return "An address with a user's name is not taken."
  if (!hosts.includes(url.host)) return "This host is not among those that this tenant's tools may reach."
  return url
}

export const httpGet: Tool<Web> = {
  name: "http_get",
  description: "Reads a page or a JSON document from one of the hosts that are allowed.",
  input: "The https address alone",
  refuses: (input, { hosts }) => {
    const url = readable(input, hosts)
    return typeof url === "string" ? url : undefined
  },
  run: (input, { hosts, idempotencyKey }) => {
    const url = readable(input, hosts)
    return typeof url === "string" ? Effect.fail(url) : Effect.flatMap(Web, (web) => web.get(url, idempotencyKey))
  }
}
