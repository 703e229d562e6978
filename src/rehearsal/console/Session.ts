/**
 * Who may use the console: whoever opened the link with its token once. What the browser keeps is derived from the token, not
 * the token: cookies of 127.0.0.1 go to every port of it, so another server there may see this one.
 */
import { createHmac, timingSafeEqual } from "node:crypto"

export const same = (given: string, wanted: string): boolean => {
  const [a, b] = [Buffer.from(given), Buffer.from(wanted)]
  return a.length === b.length && timingSafeEqual(a, b)
}

/** Its port is part of the name: two servers of this machine must not end each other's sessions. */
const cookieName = (port: number) => `rehearsal-console-${port}`

const sessionOf = (token: string) => createHmac("sha256", token).update("console session").digest("base64url")

/** HttpOnly keeps it from scripts, Strict from being sent by other sites. No `Secure`: loopback speaks plain HTTP. */
export const cookie = (token: string, port: number): string =>
  `${cookieName(port)}=${sessionOf(token)}; Path=/; HttpOnly; SameSite=Strict; Max-Age=2592000`

export interface Asking {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

const headerOf = ({ headers }: Asking, name: string): string | undefined => {
  const value = headers[name]
  return typeof value === "string" ? value : undefined
}

/** What the page asks for: the console's own paths, and to make rollouts and act on what is there. Nothing else goes by cookie. */
const isPages = ({ method, path }: Asking): boolean =>
  method === "GET"
    ? path.startsWith("/console/")
    : method === "POST" &&
      /^\/v1\/[^:]+(:(approve|advance|cancel|retryJob|ignoreJob|rollbackTarget)|\/rollouts)$/.test(path)

/**
 * Whether the cookie of a login lets this request in. A cookie comes along whoever asks, so the request must show that the
 * console's own page asks: `SameSite` alone lets pages of other ports of this machine through.
 */
export const admits = (asking: Asking, token: string, port: number): boolean => {
  if (!isPages(asking)) return false
  const wanted = sessionOf(token)
  const cookies = (headerOf(asking, "cookie") ?? "").split(/;\s*/)
  if (!cookies.some((one) => one.startsWith(`${cookieName(port)}=`) && same(one.slice(one.indexOf("=") + 1), wanted))) {
    return false
  }
  const site = headerOf(asking, "sec-fetch-site")
  if (site !== undefined && site !== "same-origin" && !(asking.method === "GET" && site === "none")) return false
  // A form of another page can send text and forms, never JSON; a browser names the origin of each POST.
  return (
    asking.method === "GET" ||
    (headerOf(asking, "origin") !== undefined &&
      (headerOf(asking, "content-type") ?? "").split(";")[0]!.trim() === "application/json")
  )
}
