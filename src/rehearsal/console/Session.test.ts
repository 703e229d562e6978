import { describe, expect, it } from "vitest"
import { type Asking, admits, cookie } from "./Session.ts"

const TOKEN = "a token"
const own = cookie(TOKEN, 8791).split(";")[0]!
const from = (headers: Asking["headers"], path = "/console/state", method = "GET"): Asking => ({
  method,
  path,
  headers
})
const rollout = "/v1/projects/p/locations/l/deliveryPipelines/a/releases/r/rollouts/x"
const json = { cookie: own, origin: "http://127.0.0.1:8791", "content-type": "application/json" }

describe("the console's session", () => {
  it("is kept where scripts and other sites do not reach it, and is not the token", () => {
    expect(cookie(TOKEN, 8791)).toMatch(/; HttpOnly; SameSite=Strict/)
    expect(cookie(TOKEN, 8791)).not.toContain(TOKEN)
  })

  it.each<[string, Asking]>([
    ["the page reads the state", from({ cookie: own, "sec-fetch-site": "same-origin" })],
    ["beside other cookies", from({ cookie: `other=1; ${own}` })],
    ["evidence is opened in a tab", from({ cookie: own, "sec-fetch-site": "none" }, "/console/evidence")],
    ["the page approves", from(json, `${rollout}:approve`, "POST")],
    ["the page rolls back", from(json, "/v1/projects/p/locations/l/deliveryPipelines/a:rollbackTarget", "POST")],
    ["the page promotes", from(json, "/v1/projects/p/locations/l/deliveryPipelines/a/releases/r/rollouts", "POST")]
  ])("lets in: %s", (_, asking) => expect(admits(asking, TOKEN, 8791)).toBe(true))

  it.each<[string, Asking]>([
    ["no cookie", from({})],
    ["a cookie of another token", from({ cookie: cookie("another", 8791).split(";")[0]! })],
    ["a cookie of another server's port", from({ cookie: cookie(TOKEN, 8792).split(";")[0]! })],
    ["a page of another port, which is the same site", from({ cookie: own, "sec-fetch-site": "same-site" })],
    ["a page of another site", from({ cookie: own, "sec-fetch-site": "cross-site" })],
    ["a POST that says no origin", from({ ...json, origin: undefined }, `${rollout}:approve`, "POST")],
    ["a form", from({ ...json, "content-type": "text/plain" }, `${rollout}:approve`, "POST")],
    ["a link to an action", from({ ...json, "sec-fetch-site": "none" }, `${rollout}:approve`, "POST")],
    ["reading the API", from(json, rollout)],
    ["deleting", from(json, "/v1/projects/p/locations/l/targets/dev", "DELETE")],
    ["changing a target", from(json, "/v1/projects/p/locations/l/targets/dev", "PATCH")],
    ["making a release", from(json, "/v1/projects/p/locations/l/deliveryPipelines/a/releases", "POST")],
    ["uploading", from(json, "/upload/storage/v1/b/sources/o", "POST")]
  ])("does not let in: %s", (_, asking) => expect(admits(asking, TOKEN, 8791)).toBe(false))
})
