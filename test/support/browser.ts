/** A real Chromium for a test, with a profile of its own. */
import { existsSync } from "node:fs"
import { Effect, type Scope } from "effect"
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core"

const found = [
  process.env["CHROMIUM"],
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome"
].find((path) => path !== undefined && existsSync(path))

export const present = found !== undefined
/** For a test that is skipped. */
export const MISSING =
  "No Chromium is on this machine, so the console is not tried in a browser: apt-get install chromium, or name one in CHROMIUM."

/** It speaks to the test's own server alone: nothing of it calls home. */
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync"
]

export const browser: Effect.Effect<Browser, never, Scope.Scope> = Effect.acquireRelease(
  Effect.promise(() => chromium.launch({ executablePath: found!, headless: true, args: FLAGS })),
  (opened) => Effect.promise(() => opened.close())
)

export const pageOf = (opened: Browser, options: BrowserContextOptions = {}): Effect.Effect<Page, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(() => opened.newContext(options)),
    (context) => Effect.promise(() => context.close())
  ).pipe(Effect.flatMap((context) => Effect.promise(() => context.newPage())))
