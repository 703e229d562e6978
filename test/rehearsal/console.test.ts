/** The console in a real browser: a release is approved in the page, watched until `stable`, and rolled back. */
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import type { Page } from "playwright-core"
import * as HostClient from "../../src/rehearsal/host/HostClient.ts"
import { browser, MISSING, pageOf, present } from "../support/browser.ts"
import { awaitState, GOOD, make, PIPELINE, prepare, type TestServer } from "../support/rehearsal-server.ts"

if (!present) process.stdout.write(`${MISSING}\n`)

const rollout = (id: string, target: string, number = 1) =>
  `${PIPELINE}/releases/${id}/rollouts/${id}-to-${target}-000${number}`

const begin = (server: TestServer, release: string, target: string) =>
  server.call("POST", `v1/${PIPELINE}/releases/${release}/rollouts?rolloutId=${release}-to-${target}-0001`, {
    targetId: target
  })

const card = (page: Page, id: string) => page.locator(`[data-rollout="${id}"]`)

const get = (url: string, headers: Readonly<Record<string, string>> = {}) =>
  Effect.promise(async () => {
    const response = await fetch(url, { headers, redirect: "manual" })
    return { status: response.status, headers: response.headers, text: await response.text() }
  })

describe("the console's server", () => {
  it.scopedLive(
    "gives its page to all, its state to a session alone, and lets the session's page act",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        yield* prepare(server, "1", GOOD)
        yield* begin(server, "r-1", "prod")
        const { url, console: link, token } = server.address()
        expect(link).not.toContain(token)

        const page = yield* get(`${url}/console/`)
        expect(page.text).toContain("/console/main.js")
        // Neither a script in the page nor one from elsewhere may run.
        expect(page.headers.get("content-security-policy")).toContain("script-src 'self'")
        expect(page.text).not.toMatch(/<script(?![^>]* src=)/)
        expect((yield* get(`${url}/console/main.js`)).text.length).toBeGreaterThan(5_000)
        expect((yield* get(`${url}/console/style.css`)).text).toContain("prefers-color-scheme: dark")
        expect((yield* get(`${url}/console/state`)).status).toBe(401)

        const login = yield* get(link)
        expect([login.status, login.headers.get("location")]).toEqual([303, "/console/"])
        const cookie = login.headers.get("set-cookie")!.split(";")[0]!
        const state = yield* get(`${url}/console/state`, { cookie })
        expect(JSON.parse(state.text).pipelines[0].rollouts[0]).toMatchObject({
          id: "r-1-to-prod-0001",
          state: "PENDING_APPROVAL"
        })
        expect((yield* get(`${url}/v1/${PIPELINE}`, { cookie })).status, "the cookie does not open the API").toBe(401)

        const approve = (origin: string | undefined) =>
          Effect.promise(() =>
            fetch(`${url}/v1/${rollout("r-1", "prod")}:approve`, {
              method: "POST",
              headers: { cookie, "content-type": "application/json", ...(origin === undefined ? {} : { origin }) },
              body: '{"approved":true}'
            }).then(({ status }) => status)
          )
        expect(yield* approve(undefined)).toBe(401)
        expect(yield* approve("http://127.0.0.1:1")).toBe(403)
        expect(yield* approve(url)).toBe(200)
        yield* awaitState(server, rollout("r-1", "prod"), ["SUCCEEDED"])

        // What the page asks of a target's database can't change it, whoever should write a statement into it.
        const host = (yield* HostClient.find(join(server.folder, "cache", "serve", "host")))!
        const ask = (text: string) => host.call("query", { target: "prod", text })
        expect((yield* ask("select $1::text as given")).rows).toEqual([{ given: "%" }])
        const written = yield* Effect.flip(ask("create table mine as select $1::text as given"))
        expect(written.message).toContain("in a read-only transaction")
        const second = yield* Effect.flip(ask("select $1::text; commit; create table mine ()"))
        expect(second.message).toContain("multiple commands")
      }),
    { timeout: 240_000 }
  )
})

describe.skipIf(!present)("the console in Chromium", () => {
  it.scopedLive(
    "approves a release, watches it reach stable, and rolls it back with a reason",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 10 })
        yield* server.start
        expect(yield* prepare(server, "1", GOOD)).toMatchObject({ status: 200 })
        yield* begin(server, "r-1", "prod")
        yield* server.call("POST", `v1/${rollout("r-1", "prod")}:approve`, { approved: true })
        yield* awaitState(server, rollout("r-1", "prod"), ["SUCCEEDED"])
        expect(yield* prepare(server, "2", GOOD)).toMatchObject({ status: 200 })

        const page = yield* pageOf(yield* browser)
        const complaints: Array<string> = []
        page.on("console", (message) => message.type() === "error" && complaints.push(message.text()))
        page.on("pageerror", (error) => complaints.push(error.message))
        let loads = 0
        page.on("load", () => loads++)
        const lane = page.getByRole("region", { name: "target prod" })

        yield* Effect.promise(async () => {
          await page.goto(server.address().console)
          expect(new URL(page.url()).search, "the token does not stay in the address").toBe("")
          await lane.getByText("runs r-1").waitFor()
          expect(await page.getByText("Loading").count()).toBe(0)
        })
        // Made outside of the page: it must come by itself.
        yield* begin(server, "r-2", "prod")
        yield* Effect.promise(async () => {
          const coming = card(page, "r-2-to-prod-0001")
          await coming.getByRole("button", { name: "Approve…" }).press("Enter")
          await page.getByRole("dialog").getByRole("button", { name: "Approve" }).press("Enter")
          await coming.getByRole("button", { name: "Advance to stable" }).click()
          await coming.locator(".step.SUCCEEDED", { hasText: "stable" }).waitFor()
          await lane.getByText("runs r-2").waitFor()

          await coming.getByRole("button", { name: "r-2" }).click()
          const detail = page.getByRole("region", { name: "rollout r-2-to-prod-0001" })
          await detail
            .getByRole("region", { name: "phase stable" })
            .getByRole("row", { name: "verify" })
            .getByRole("button", { name: "Log" })
            .click()
          await detail.getByText("did smoke r-2 prod stable").waitFor()
          await detail.getByRole("button", { name: "What the gates saw" }).click()
          await detail.frameLocator("iframe").getByText("No gate has left evidence").waitFor()

          await lane.getByRole("button", { name: "Roll back…" }).click()
          const dialog = page.getByRole("dialog")
          expect(await dialog.getByLabel("To release").inputValue()).toBe("r-1")
          await dialog.getByRole("button", { name: "Roll back" }).click()
          expect(await dialog.isVisible(), "a reason is needed").toBe(true)
          await dialog.getByLabel("Why").fill("it answers in Latin")
          await dialog.getByRole("button", { name: "Roll back" }).click()
          const back = card(page, "r-1-to-prod-0002")
          await back.getByRole("button", { name: "Approve…" }).click()
          await page.getByRole("dialog").getByRole("button", { name: "Approve" }).click()
          await lane.getByText("runs r-1").waitFor()
        })
        const kept = yield* awaitState(server, rollout("r-1", "prod", 2), ["SUCCEEDED"])
        expect(kept.body["description"]).toBe("Rollback: it answers in Latin")
        expect(loads, "no page was loaded again").toBe(1)
        expect(complaints).toEqual([])
      }),
    { timeout: 240_000 }
  )
})
