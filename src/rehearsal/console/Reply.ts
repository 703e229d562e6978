/** An answer that is not JSON: the page, its parts, a redirection. */
export class Reply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  constructor(status: number, headers: Readonly<Record<string, string>>, body: string) {
    this.status = status
    this.headers = headers
    this.body = body
  }
}

/** Nothing but what this server sends may run, look or speak in the page. */
const PAGE_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  // The empty icon of the page.
  "img-src 'self' data:",
  "frame-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join("; ")

export const page = (type: string, body: string, policy = PAGE_POLICY) =>
  new Reply(
    200,
    {
      "content-type": `${type}; charset=utf-8`,
      "content-security-policy": policy,
      "cross-origin-opener-policy": "same-origin",
      "cross-origin-resource-policy": "same-origin",
      "referrer-policy": "no-referrer"
    },
    body
  )

/** Evidence brings its style along and needs no script; it is shown inside the console. */
export const document = (body: string) =>
  page("text/html", body, "default-src 'none'; style-src 'unsafe-inline'; sandbox; frame-ancestors 'self'")

export const redirect = (to: string, headers: Readonly<Record<string, string>> = {}) =>
  new Reply(303, { location: to, "referrer-policy": "no-referrer", ...headers }, "")
