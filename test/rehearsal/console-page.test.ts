/**
 * The console's page with data that a small rehearsal does not have, in a real Chromium: load with refusals and failures, groups of
 * shards, a target that can't be asked, and nothing at all. `SHOTS=folder` keeps pictures to look at.
 */
import { mkdir } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { Browser, Page } from "playwright-core"
import { State } from "../../src/rehearsal/console/State.ts"
import { browser, pageOf, present } from "../support/browser.ts"
import { make, type TestServer } from "../support/rehearsal-server.ts"
import { busy, empty } from "./console-states.ts"

const SHOTS = process.env["SHOTS"]
const LOOKS = [
  { name: "wide-light", width: 1280, colorScheme: "light" },
  { name: "wide-dark", width: 1280, colorScheme: "dark" },
  { name: "narrow-light", width: 360, colorScheme: "light" },
  { name: "narrow-dark", width: 360, colorScheme: "dark" }
] as const

/** In the page's place of the server's events: one state, sent once. */
const sends = (state: State) => `window.EventSource = class {
  readyState = 1
  addEventListener(name, listener) {
    if (name === "state") setTimeout(() => listener({ data: ${JSON.stringify(JSON.stringify(Schema.encodeSync(State)(state)))} }))
  }
  close() {}
}`

const opened = (server: TestServer, chromium: Browser, state: State, look: (typeof LOOKS)[number]) =>
  Effect.gen(function* () {
    const page = yield* pageOf(chromium, {
      viewport: { width: look.width, height: 900 },
      colorScheme: look.colorScheme
    })
    yield* Effect.promise(async () => {
      await page.addInitScript(sends(state))
      await page.goto(server.address().console)
      await page.getByText("live", { exact: true }).waitFor()
    })
    return page
  })

const shot = (page: Page, name: string) =>
  Effect.promise(async () => {
    if (SHOTS === undefined) return
    await mkdir(SHOTS, { recursive: true })
    await page.screenshot({ path: join(SHOTS, `${name}.png`), fullPage: true })
  })

const overflows = (page: Page) =>
  Effect.promise(() => page.evaluate<boolean>("document.documentElement.scrollWidth > innerWidth"))

describe.skipIf(!present)("the console's page", () => {
  it.scopedLive(
    "shows refused and failed requests, owners by group of shards, and what can't be known, wide and narrow, by day and night",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const chromium = yield* browser
        for (const look of LOOKS) {
          const page = yield* opened(server, chromium, busy, look)
          const fleet = (target: string) => page.getByRole("region", { name: `fleet of ${target}` })
          yield* Effect.promise(async () => {
            const chart = fleet("prod").getByRole("img", { name: /^Requests a second: answered/ })
            await chart.waitFor()
            // A bar each; what failed is seen, though it is a two-hundredth of all.
            expect(await chart.locator("rect.answered").count()).toBe(118)
            expect(await chart.locator("rect.refused").count()).toBe(39)
            expect(await chart.locator("rect.failed").count()).toBe(4)
            const failed = (await chart.locator("rect.failed").first().boundingBox())!
            expect(failed.height).toBeGreaterThanOrEqual(6)
            expect(failed.width).toBeGreaterThan(0.3)
            // Now it is calm; that requests failed minutes ago is said in words too.
            expect(await chart.getAttribute("aria-label")).toContain("failed (5xx) 0, 8 in 10 min")
            await fleet("prod").getByText("8 in 10 min").waitFor()
            await fleet("prod").getByText("in 10 min").first().waitFor()
            for (const [group, shards] of [
              ["default", "190"],
              ["enterprise", "150"]
            ] as const) {
              const table = fleet("prod").getByRole("table", { name: `Shards of ${group} by owner` })
              expect(await table.getByRole("row", { name: /runtime-0/ }).textContent()).toContain(shards)
            }
            await fleet("staging").getByText("Nobody owns the shards of enterprise").waitFor()
            await fleet("staging").getByText("No gateway answers").waitFor()
            await fleet("dev").getByText("ECONNREFUSED").waitFor()
          })
          yield* shot(page, look.name)
          expect({ look, overflows: yield* overflows(page) }).toEqual({ look, overflows: false })
        }
        const page = yield* opened(server, chromium, empty, LOOKS[2])
        yield* Effect.promise(() => page.getByText("No delivery pipeline yet").waitFor())
        yield* shot(page, "empty")
        expect(yield* overflows(page)).toBe(false)
      }),
    { timeout: 240_000 }
  )

  it.scopedLive(
    "says that the server is gone, and that a browser was not let in",
    () =>
      Effect.gen(function* () {
        const server = yield* make({ takesMs: 0 })
        yield* server.start
        const page = yield* pageOf(yield* browser)
        yield* Effect.promise(async () => {
          await page.goto(`${server.address().url}/console/`)
          await page.getByText("This browser is not let in yet").waitFor()
        })
        yield* shot(page, "locked")
        yield* Effect.promise(async () => {
          await page.goto(server.address().console)
          await page.getByText("live", { exact: true }).waitFor()
        })
        yield* server.kill
        yield* Effect.promise(() => page.getByText("no connection, trying again").waitFor())
        yield* shot(page, "lost")
      }),
    { timeout: 240_000 }
  )
})
